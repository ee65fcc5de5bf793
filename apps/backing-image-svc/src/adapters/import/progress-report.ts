import type { Clock } from '@lariat/kernel';
import { type ImportPhase, type ImportProgress, ProgressMeter } from '../../domain/progress.js';

const INTERVAL_MS = 250;

/** Tells progress, but not more often than anybody can look at it. */
export class ProgressReport {
  private meter: ProgressMeter | null = null;
  private toldAtMs = 0;

  constructor(
    private readonly tell: (progress: ImportProgress) => void,
    private readonly clock: Clock,
  ) {}

  begin(phase: ImportPhase, totalBytes: number | null): void {
    this.meter = new ProgressMeter(phase, totalBytes, this.clock.monotonicMs());
    this.report(0);
  }

  /** Bytes of the phase, from its beginning. */
  at(doneBytes: number): void {
    if (this.clock.monotonicMs() - this.toldAtMs >= INTERVAL_MS) this.report(doneBytes);
  }

  end(doneBytes: number): void {
    this.report(doneBytes);
  }

  private report(doneBytes: number): void {
    const nowMs = this.clock.monotonicMs();
    this.toldAtMs = nowMs;
    if (this.meter !== null) this.tell(this.meter.at(nowMs, doneBytes));
  }
}
