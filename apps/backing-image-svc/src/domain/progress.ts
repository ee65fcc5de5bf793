/** What an import is doing; the names are those of the states that an image is in meanwhile. */
export const ImportPhase = Object.freeze({
  downloading: 'downloading',
  converting: 'converting',
  writing: 'writing',
} as const);
export type ImportPhase = (typeof ImportPhase)[keyof typeof ImportPhase];

export interface ImportProgress {
  readonly phase: ImportPhase;
  readonly doneBytes: number;
  /** Null: not known beforehand. */
  readonly totalBytes: number | null;
  readonly bytesPerSecond: number;
  /** Null: cannot be told. */
  readonly etaMs: number | null;
}

interface Sample {
  readonly atMs: number;
  readonly doneBytes: number;
}

const WINDOW_MS = 10_000;

/** Progress of one phase, with the rate of its last ten seconds. */
export class ProgressMeter {
  private samples: Sample[];

  constructor(
    private readonly phase: ImportPhase,
    private readonly totalBytes: number | null,
    startedAtMs: number,
  ) {
    this.samples = [{ atMs: startedAtMs, doneBytes: 0 }];
  }

  /** `nowMs` of a clock that never goes back. */
  at(nowMs: number, doneBytes: number): ImportProgress {
    // One sample from before the window stays, or the rate of a slow source would be taken over no time at all.
    while (this.samples.length > 1 && (this.samples[1]?.atMs ?? nowMs) <= nowMs - WINDOW_MS)
      this.samples.shift();
    const from = this.samples[0] ?? { atMs: nowMs, doneBytes };
    this.samples.push({ atMs: nowMs, doneBytes });
    const elapsedMs = nowMs - from.atMs;
    const bytesPerSecond =
      elapsedMs <= 0 ? 0 : Math.round(((doneBytes - from.doneBytes) * 1000) / elapsedMs);
    const leftBytes = this.totalBytes === null ? null : Math.max(0, this.totalBytes - doneBytes);
    return {
      phase: this.phase,
      doneBytes,
      totalBytes: this.totalBytes,
      bytesPerSecond,
      etaMs: etaMs(leftBytes, bytesPerSecond),
    };
  }
}

function etaMs(leftBytes: number | null, bytesPerSecond: number): number | null {
  if (leftBytes === 0) return 0;
  if (leftBytes === null || bytesPerSecond === 0) return null;
  return Math.round((leftBytes * 1000) / bytesPerSecond);
}
