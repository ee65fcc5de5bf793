const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** 12 ms, 3.4 s, 2 min 5 s, 3 h 20 min, 4 d 1 h. */
export function formatDuration(durationMs: number): string {
  if (durationMs < SECOND_MS) {
    return `${durationMs < 10 ? durationMs.toFixed(1) : Math.round(durationMs)} ms`;
  }
  if (durationMs < MINUTE_MS) return `${(durationMs / SECOND_MS).toFixed(1)} s`;
  if (durationMs < HOUR_MS) {
    return `${Math.floor(durationMs / MINUTE_MS)} min ${Math.floor((durationMs % MINUTE_MS) / SECOND_MS)} s`;
  }
  if (durationMs < DAY_MS) {
    return `${Math.floor(durationMs / HOUR_MS)} h ${Math.floor((durationMs % HOUR_MS) / MINUTE_MS)} min`;
  }
  return `${Math.floor(durationMs / DAY_MS)} d ${Math.floor((durationMs % DAY_MS) / HOUR_MS)} h`;
}

/** How long ago an ISO time was. */
export function formatAge(at: string, nowMs: number = Date.now()): string {
  const thenMs = Date.parse(at);
  return Number.isNaN(thenMs) ? at : formatDuration(Math.max(0, nowMs - thenMs));
}
