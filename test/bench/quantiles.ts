/** The value below which the share `q` of the samples lies. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const index = Math.min(sorted.length - 1, Math.floor(sorted.length * q));
  return sorted[index] ?? Number.NaN;
}

/** Milliseconds of each of `count` calls, one after the other, after a tenth as many to warm up. */
export async function timeEach(
  count: number,
  call: (index: number) => Promise<unknown>,
): Promise<number[]> {
  for (let index = 0; index < count / 10; index += 1) await call(-1 - index);
  const samples: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const began = performance.now();
    await call(index);
    samples.push(performance.now() - began);
  }
  return samples;
}

/** Calls per second with `inFlight` of them at a time. */
export async function ratePerSecond(
  count: number,
  inFlight: number,
  call: (index: number) => Promise<unknown>,
): Promise<number> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      await call(next);
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (count / (performance.now() - began)) * 1000;
}
