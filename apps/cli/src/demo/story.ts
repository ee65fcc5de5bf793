import { toLariatError, type LariatError } from '@lariat/kernel';
import { TracedFailure } from '../client/session.js';
import { formatDuration } from '../output/durations.js';
import type { Printer } from '../output/printer.js';

export interface StepRecord {
  readonly name: string;
  readonly ms: number;
}

/** Ctrl-C, as an error that ends the step that runs. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** A step that failed, with its name and the trace in which it did. */
export class StepFailure extends Error {
  override readonly name = 'StepFailure';
  constructor(
    readonly step: string,
    readonly error: LariatError,
    readonly traceId: string | undefined,
  ) {
    super(error.message);
  }
}

/** Tells what happens as it happens: one line a step, with a tick and the time that it took. */
export class Story {
  readonly steps: StepRecord[] = [];
  private readonly whenInterrupted: Promise<never>;

  constructor(
    private readonly printer: Printer,
    readonly interrupted: AbortSignal,
  ) {
    this.whenInterrupted = new Promise((_resolve, reject) => {
      const stop = (): void => reject(new Interrupted('interrupted'));
      if (interrupted.aborted) stop();
      interrupted.addEventListener('abort', stop, { once: true });
    });
    // Raced against below; between steps nobody listens.
    this.whenInterrupted.catch(() => undefined);
  }

  say(text: string): void {
    this.printer.say(text);
  }

  /** `work` answers what to say about its outcome. */
  async step<T>(
    name: string,
    title: string,
    work: () => Promise<T>,
    outcome: (result: T) => string = () => '',
  ): Promise<T> {
    const line = this.printer.progress();
    if (this.printer.isWatched()) line.show(title, null);
    const startMs = performance.now();
    try {
      const result = await Promise.race([work(), this.whenInterrupted]);
      const ms = Math.round(performance.now() - startMs);
      this.steps.push({ name, ms });
      line.clear();
      const detail = outcome(result);
      this.say(`✓ ${title}${detail === '' ? '' : `: ${detail}`} (${formatDuration(ms)})`);
      return result;
    } catch (reason) {
      line.clear();
      if (reason instanceof Interrupted) throw reason;
      this.say(`✗ ${title} (${formatDuration(performance.now() - startMs)})`);
      const cause = reason instanceof TracedFailure ? reason.cause : reason;
      const traceId = reason instanceof TracedFailure ? reason.traceId : undefined;
      throw new StepFailure(name, toLariatError(cause), traceId);
    }
  }
}
