import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-base';

/** Loads an exporter when there is something to export, so that no start waits for it. */
export class LateExporter implements SpanExporter {
  private loading: Promise<SpanExporter> | undefined;

  constructor(private readonly load: () => Promise<SpanExporter>) {}

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    void this.send(spans, done);
  }

  async forceFlush(): Promise<void> {
    await (await this.loading)?.forceFlush?.();
  }

  async shutdown(): Promise<void> {
    await (await this.loading)?.shutdown();
  }

  private async send(spans: ReadableSpan[], done: (result: ExportResult) => void): Promise<void> {
    this.loading ??= this.load();
    try {
      (await this.loading).export(spans, done);
    } catch (reason) {
      const error = reason instanceof Error ? reason : new Error(String(reason));
      done({ code: ExportResultCode.FAILED, error });
    }
  }
}
