/** Who waits for whom: an edge says that `from` does not go on before `to` does, and why. */
export interface Wait {
  readonly from: string;
  readonly to: string;
  readonly because: string;
}

/** The waits of one circle, in order; undefined when there is none. */
export function findCircle(waits: readonly Wait[]): readonly Wait[] | undefined {
  const bySource = new Map<string, Wait[]>();
  for (const wait of waits) bySource.set(wait.from, [...(bySource.get(wait.from) ?? []), wait]);
  const cleared = new Set<string>();
  const path: Wait[] = [];
  const follow = (from: string): readonly Wait[] | undefined => {
    if (cleared.has(from)) return undefined;
    const begin = path.findIndex((wait) => wait.from === from);
    if (begin !== -1) return path.slice(begin);
    for (const wait of bySource.get(from) ?? []) {
      path.push(wait);
      const circle = follow(wait.to);
      if (circle !== undefined) return circle;
      path.pop();
    }
    cleared.add(from);
    return undefined;
  };
  for (const from of bySource.keys()) {
    const circle = follow(from);
    if (circle !== undefined) return circle;
  }
  return undefined;
}
