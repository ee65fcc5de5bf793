import { randomInt } from 'node:crypto';
import { delay } from '@lariat/kernel';
import { Random } from './random.js';

const DEFAULT_SECONDS = 10;

function fromEnvironment(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0)
    throw new Error(`${name}='${text}' is no whole number`);
  return value;
}

/** How long each fuzzer runs. */
export const FUZZ_MS = (fromEnvironment('LARIAT_FUZZ_SECONDS') ?? DEFAULT_SECONDS) * 1000;

const CHECK_EVERY_MS = 500;

export interface Fuzzer {
  readonly name: string;
  /** Iterations that run side by side. */
  readonly lanes: number;
  /** One input and what must hold of it; `random` depends on the seed and the iteration alone. */
  readonly iterate: (random: Random, iteration: number) => Promise<void>;
  /** What must hold all the time. */
  readonly check: () => Promise<void>;
}

/**
 * Runs iterations until the time is over, and checks every half second beside them. What is thrown names the seed and
 * the iterations that ran: `LARIAT_FUZZ_SEED` and `LARIAT_FUZZ_FROM` (the first iteration) run them again.
 */
export async function fuzz({ name, lanes, iterate, check }: Fuzzer): Promise<void> {
  const seed = fromEnvironment('LARIAT_FUZZ_SEED') ?? randomInt(2 ** 32);
  let next = fromEnvironment('LARIAT_FUZZ_FROM') ?? 0;
  const first = next;
  process.stdout.write(`fuzz ${name}: seed ${seed}\n`);
  const running = new Set<number>();
  const failures: unknown[] = [];
  const deadline = performance.now() + FUZZ_MS;
  const goesOn = (): boolean => failures.length === 0 && performance.now() < deadline;

  const lane = async (): Promise<void> => {
    while (goesOn()) {
      const iteration = next++;
      running.add(iteration);
      await iterate(new Random(`${name}/${seed}/${iteration}`), iteration);
      running.delete(iteration);
    }
  };
  const watch = async (): Promise<void> => {
    while (goesOn()) {
      await delay(CHECK_EVERY_MS);
      await check();
    }
  };
  const failed = (error: unknown): void => {
    const where = [...running].join(', ');
    failures.push(
      new Error(`fuzz ${name} with seed ${seed}: failed while iterations ${where} ran`, {
        cause: error,
      }),
    );
  };
  await Promise.all(
    [...Array.from({ length: lanes }, lane), watch()].map((task) => task.catch(failed)),
  );
  process.stdout.write(`fuzz ${name}: ${next - first} iterations\n`);
  if (failures.length > 0) throw failures[0];
  await check();
}
