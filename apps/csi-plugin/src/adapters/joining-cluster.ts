import { type RequestMap, type RequestName, hasCode } from '@lariat/contracts';
import { delay, LariatError } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import { Refusal } from '../domain/refusal.js';
import type { CallScope } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';

const MAX_WAIT_MS = 600_000;
/** Who let go of the object may be followed by another at once. */
const AGAIN_MS = 50;

/** Requests over NATS, each within the time that its caller has left. */
export class JoiningCluster implements ClusterPort {
  constructor(private readonly client: Pick<LariatClient, 'request'>) {}

  async request<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
    scope: CallScope,
  ): Promise<RequestMap[Name]['reply']> {
    for (;;) {
      try {
        return await this.once(name, body, scope);
      } catch (error) {
        const operation = runningOf(error);
        if (operation === undefined || scope.leftMs() <= AGAIN_MS) throw error;
        await this.end(operation, scope);
      }
    }
  }

  private async end(operation: string, scope: CallScope): Promise<void> {
    const timeoutMs = Math.min(MAX_WAIT_MS, Math.ceil(scope.leftMs()));
    try {
      await this.once('operation.wait', { operation, timeoutMs }, scope);
    } catch (error) {
      // How it ended is its own caller's to hear; one that is not to be found has ended.
      if (!(error instanceof LariatError) || hasCode(error, 'DEADLINE_EXCEEDED')) throw error;
    }
    await delay(AGAIN_MS, scope.signal);
  }

  private once<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
    scope: CallScope,
  ): Promise<RequestMap[Name]['reply']> {
    const timeoutMs = Math.max(1, Math.ceil(scope.leftMs()));
    return unlessGone(scope, this.client.request(name, body, { timeoutMs }));
  }
}

function runningOf(error: unknown): string | undefined {
  if (!(error instanceof LariatError) || !hasCode(error, 'OPERATION_IN_PROGRESS')) return undefined;
  const operation = error.details?.['operation'];
  return typeof operation === 'string' ? operation : undefined;
}

/** What was asked for goes on; nobody waits for it here. */
async function unlessGone<T>({ signal }: CallScope, work: Promise<T>): Promise<T> {
  const gone = (): Refusal =>
    new Refusal('CANCELLED', 'The caller has gone; what it asked for may still happen.');
  if (signal.aborted) {
    work.catch(() => undefined);
    throw gone();
  }
  let stop: () => void = () => undefined;
  const left = new Promise<never>((_resolve, reject) => {
    const onAbort = (): void => reject(gone());
    signal.addEventListener('abort', onAbort, { once: true });
    stop = () => signal.removeEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([work, left]);
  } finally {
    stop();
  }
}
