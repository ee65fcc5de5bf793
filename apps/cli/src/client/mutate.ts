import type {
  OperationAccepted,
  OperationState,
  OperationView,
  RequestMap,
  RequestName,
} from '@lariat/contracts';
import { delay, LariatError } from '@lariat/kernel';
import type { CommandContext } from '../context.js';
import type { ProgressLine } from '../output/progress.js';
import { formatAge } from '../output/durations.js';
import type { Session } from './session.js';

/** Requests that change something: they may be answered with an operation. */
export type MutationName = {
  [Name in RequestName]: 'wait' extends keyof RequestMap[Name]['request'] ? Name : never;
}[RequestName];

export type Mutation<Name extends MutationName> =
  | { readonly done: true; readonly reply: RequestMap[Name]['reply'] }
  | { readonly done: false; readonly operation: OperationView };

const POLL_MS = 150;

/** Not taken from the contracts: loading their validators would slow down every command's start. */
const IS_ENDED: Readonly<Record<OperationState, boolean>> = {
  running: false,
  undoing: false,
  succeeded: true,
  failed: true,
  stuck: true,
};

export const isEnded = (state: OperationState): boolean => IS_ENDED[state];

function isAccepted(reply: unknown): reply is OperationAccepted {
  if (typeof reply !== 'object' || reply === null || !('operation' in reply)) return false;
  const { operation } = reply;
  return typeof operation === 'object' && operation !== null && 'id' in operation;
}

/**
 * Sends a change and waits for its outcome. With somebody watching, the operation is followed step by step;
 * else the service waits. With `wait` false the answer is the operation.
 */
export async function mutate<Name extends MutationName>(
  context: CommandContext,
  session: Session,
  name: Name,
  body: RequestMap[Name]['request'],
  wait: boolean,
): Promise<Mutation<Name>> {
  const follow = wait && (context.printer.isWatched() || isLong(name, body));
  const request = wait && !follow ? body : Object.assign({}, body, { wait: false });
  const reply: unknown = await session.request(name, request);
  if (!isAccepted(reply)) return { done: true, reply: reply as RequestMap[Name]['reply'] };
  if (!wait) return { done: false, operation: reply.operation };
  const ended = await followOperation(context, session, reply.operation);
  return { done: true, reply: ended.result as unknown as RequestMap[Name]['reply'] };
}

/** Copies of data, questions to all nodes, and operations on many volumes take as long as they take; no request should be open for that. */
const LONG_REQUESTS: ReadonlySet<RequestName> = new Set<RequestName>([
  'replica.rebuild',
  'replica.move',
  'node.drain',
  'snapshot.verify',
  'image.create',
  'image.verify',
  'cluster.recover',
  'node.remove',
]);

/** A copy of a source, or of what there is, to as many replicas as asked for, takes as long as a rebuild. */
const isLong = (name: RequestName, body: object): boolean =>
  LONG_REQUESTS.has(name) ||
  (name === 'disk.remove' && 'evacuate' in body) ||
  (name === 'volume.create' && 'source' in body) ||
  (name === 'volume.update' && 'replicas' in body);

/** Polls an operation to its end, showing where it is; throws its error when it failed. */
export async function followOperation(
  context: CommandContext,
  session: Session,
  first: OperationView,
): Promise<OperationView> {
  const ended = await untilEnded(context, session, first);
  if (ended.state === 'succeeded') return ended;
  throw operationError(ended);
}

/** Polls an operation to its end, showing where it is. */
export async function untilEnded(
  context: CommandContext,
  session: Session,
  first: OperationView,
): Promise<OperationView> {
  const line = context.printer.progress();
  const deadlineMs = performance.now() + context.timeoutMs;
  context.interruption.setHint(
    `operation ${first.id} goes on; wait for it with 'lariat operation wait ${first.id}'`,
  );
  try {
    let operation = first;
    while (!isEnded(operation.state)) {
      showOperation(line, operation);
      if (performance.now() > deadlineMs) throw stillRunning(operation, context.timeoutMs);
      await delay(POLL_MS);
      operation = await session.request('operation.get', { operation: first.id });
    }
    return operation;
  } finally {
    line.clear();
    context.interruption.setHint(undefined);
  }
}

function showOperation(line: ProgressLine, operation: OperationView): void {
  const { kind, step, waitingFor, node, attempt } = operation;
  const parts = [
    step === null ? kind : `${kind}: ${step}`,
    node === null ? '' : `on ${node}`,
    waitingFor === null ? '' : `waiting for ${waitingFor}`,
    attempt > 1 ? `attempt ${attempt}` : '',
    operation.lastError === null ? '' : `(${operation.lastError.code})`,
  ];
  const age = `since ${formatAge(operation.since)}`;
  line.show(parts.filter((part) => part !== '').join(' '), operation.progress, age);
}

export function operationError(operation: OperationView): LariatError {
  const details = { operation: operation.id, traceId: operation.traceId };
  if (operation.error !== null) {
    return LariatError.fromRecord({
      ...operation.error,
      details: { ...operation.error.details, ...details },
    });
  }
  return new LariatError({
    kind: 'internal',
    code: 'INTERNAL',
    message: `Operation ${operation.id} (${operation.kind}) is ${operation.state} and gives no reason. Look at it with 'lariat operation get ${operation.id}'.`,
    details,
  });
}

function stillRunning(operation: OperationView, timeoutMs: number): LariatError {
  const where = operation.step === null ? '' : ` in step '${operation.step}'`;
  const what = operation.waitingFor === null ? '' : `, waiting for ${operation.waitingFor}`;
  return new LariatError({
    kind: 'timeout',
    code: 'DEADLINE_EXCEEDED',
    message: `Operation ${operation.id} (${operation.kind}) still runs after ${timeoutMs / 1000} s${where}${what}. It goes on; wait for it with 'lariat operation wait ${operation.id}'.`,
    details: { operation: operation.id, traceId: operation.traceId },
  });
}
