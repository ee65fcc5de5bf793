/**
 * Which of what a round has found were found by every round for this long. `sinceMs`, when each was found first, is carried
 * from round to round; what this one has not found is forgotten.
 */
export function standing(
  sinceMs: Map<string, number>,
  found: Iterable<string>,
  nowMs: number,
  forMs: number,
): ReadonlySet<string> {
  const keys = new Set(found);
  for (const key of sinceMs.keys()) if (!keys.has(key)) sinceMs.delete(key);
  const due = new Set<string>();
  for (const key of keys) {
    const firstMs = sinceMs.get(key) ?? nowMs;
    sinceMs.set(key, firstMs);
    if (nowMs - firstMs >= forMs) due.add(key);
  }
  return due;
}
