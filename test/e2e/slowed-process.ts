import { delay } from '@lariat/kernel';

const STOPPED_MS = 45;
const RUNNING_MS = 5;

/**
 * Gives a process a tenth of its time, so that what it serves goes on for long enough to be disturbed on any machine,
 * until the function that is returned is called or the process has ended.
 */
export function slowDown(pid: number): () => Promise<void> {
  const end = new AbortController();
  const signal = (name: NodeJS.Signals): void => {
    try {
      process.kill(pid, name);
    } catch {
      // It has been killed meanwhile.
      end.abort();
    }
  };
  const slowed = (async () => {
    while (!end.signal.aborted) {
      signal('SIGSTOP');
      await delay(STOPPED_MS);
      signal('SIGCONT');
      await delay(RUNNING_MS);
    }
  })();
  return async () => {
    end.abort();
    await slowed;
  };
}
