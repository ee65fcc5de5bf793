import { newUuid } from '@lariat/kernel';
import { Random } from '../fuzz/support/random.js';

const SEED = process.env.LARIAT_SEED ?? newUuid().slice(0, 8);

/**
 * So many of the cases, in their order: each run draws others. LARIAT_SEED repeats a run's choice, and with LARIAT_SOAK
 * (`lariat test --soak`) all are taken.
 */
export function drawn<T>(what: string, cases: readonly T[], count: number): readonly T[] {
  if (process.env.LARIAT_SOAK !== undefined || cases.length <= count) return cases;
  process.stderr.write(`${what}: ${count} of ${cases.length}; LARIAT_SEED=${SEED} repeats it\n`);
  const random = new Random(`${SEED}/${what}`);
  const left = cases.map((_, index) => index);
  const taken = new Set<number>();
  while (taken.size < count) {
    const [index] = left.splice(random.below(left.length), 1);
    if (index !== undefined) taken.add(index);
  }
  return cases.filter((_, index) => taken.has(index));
}
