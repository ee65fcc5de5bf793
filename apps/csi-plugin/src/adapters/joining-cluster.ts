import { type RequestMap, type RequestName, hasCode } from '@lariat/contracts';
import { delay, LariatError, newUuid } from '@lariat/kernel';
import { type LariatClient, isUnanswered } from '@lariat/messaging';
import { Refusal } from '../domain/refusal.js';
import type { CallScope } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';

/** A service that dies takes its answers with it: nobody waits longer for one before asking again. */
const ANSWER_MS = 10_000;
/** Who let go of the object may be followed by another at once. */
const AGAIN_MS = 50;
/** What passes by itself takes a while. */
const PASSING_MS = 500;

/** Requests over NATS, each within the time that its caller has left. */
export class JoiningCluster implements ClusterPort {
  constructor(private readonly client: Pick<LariatClient, 'request'>) {}

  async request<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
    scope: CallScope,
  ): Promise<RequestMap[Name]['reply']> {
    let requestId = newUuid();
    for (;;) {
      try {
        return await this.once(name, body, scope, requestId);
      } catch (error) {
        const operation = runningOf(error);
        const again = operation !== undefined || isPassing(error);
        if (!again || scope.leftMs() <= PASSING_MS) throw error;
        // One without an answer may be under way: under the same id it is joined. Any other has ended, and is asked for anew.
        if (!isUnanswered(error)) requestId = newUuid();
        if (operation === undefined) await delay(PASSING_MS, scope.signal);
        else await this.end(operation, scope);
      }
    }
  }

  private async end(operation: string, scope: CallScope): Promise<void> {
    const timeoutMs = Math.min(ANSWER_MS, Math.ceil(scope.leftMs()));
    try {
      await this.once('operation.wait', { operation, timeoutMs }, scope, newUuid());
    } catch (error) {
      // How it ended is its own caller's to hear; one that is not to be found has ended, one that has not is met again.
      if (!(error instanceof LariatError)) throw error;
    }
    await delay(AGAIN_MS, scope.signal);
  }

  private once<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
    scope: CallScope,
    requestId: string,
  ): Promise<RequestMap[Name]['reply']> {
    const timeoutMs = Math.max(1, Math.min(ANSWER_MS, Math.ceil(scope.leftMs())));
    return unlessGone(scope, this.client.request(name, body, { timeoutMs, requestId }));
  }
}

/** A service or a node that is on its way back: who asks again in a while is told something else. */
const isPassing = (error: unknown): boolean =>
  error instanceof LariatError &&
  (error.kind === 'unavailable' || error.kind === 'timeout' || hasCode(error, 'NODE_NOT_READY'));

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
