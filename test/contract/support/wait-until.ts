import { delay } from '@lariat/kernel';

/** Thrown by a check when waiting longer cannot help. */
export class Hopeless extends Error {
  override readonly name = 'Hopeless';
}

/** Polls until `check` gives something other than undefined or false; after `timeoutMs` it says what was awaited. */
export async function waitUntil<T>(
  what: string,
  timeoutMs: number,
  check: () => Promise<T | undefined | false>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const found = await check();
      if (found !== undefined && found !== false) return found;
      lastError = undefined;
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      lastError = error;
    }
    if (performance.now() > deadline) {
      throw new Error(`after ${timeoutMs} ms, still waiting for ${what}`, { cause: lastError });
    }
    await delay(25);
  }
}
