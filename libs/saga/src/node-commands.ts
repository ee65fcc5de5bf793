import {
  type CommandMap,
  type CommandName,
  type VolumeRecord,
  hasCode,
  lariatError,
} from '@lariat/contracts';
import { LariatError, delay, toLariatError } from '@lariat/kernel';
import type { CommandOptions, StepContext } from './definition.js';

/** The part of a step's context that talks to nodes. */
export type NodeAccess = Pick<
  StepContext<unknown, unknown>,
  'command' | 'client' | 'log' | 'operation'
>;

/** Time for a node to answer a command that needs no copying. */
export const COMMAND_TIMEOUT_MS = 10_000;
/** An undo may find a node that does not answer; it asks once more whether the node is gone. */
export const UNDO_COMMAND_TIMEOUT_MS = 5_000;

export type Outcome<T> =
  | { readonly ok: true; readonly output: T }
  | { readonly ok: false; readonly error: LariatError };

/** A command whose failure the caller judges itself. */
export async function attempt<Name extends CommandName>(
  context: NodeAccess,
  node: string,
  name: Name,
  input: CommandMap[Name]['input'],
  key: string,
  timeoutMs = COMMAND_TIMEOUT_MS,
): Promise<Outcome<CommandMap[Name]['output']>> {
  try {
    return { ok: true, output: await context.command(node, name, input, { key, timeoutMs }) };
  } catch (reason) {
    return { ok: false, error: toLariatError(reason) };
  }
}

/** True when the node is declared down, or is not known any more: nothing waits for it (invariant 8). */
export async function isDeclaredGone(context: NodeAccess, node: string): Promise<boolean> {
  try {
    const { state } = await context.client.request('node.get', { node });
    return state === 'down';
  } catch (error) {
    if (hasCode(error, 'NODE_NOT_FOUND')) return true;
    throw error;
  }
}

/** Whether no node of a volume's in-sync set is left to be waited for (invariant 8). */
export async function areMembersGone(
  context: NodeAccess,
  { replicas }: Pick<VolumeRecord, 'replicas'>,
): Promise<boolean> {
  const members = replicas.filter(({ mode }) => mode === 'RW');
  const gone = await Promise.all(members.map(({ node }) => isDeclaredGone(context, node)));
  return gone.every(Boolean);
}

/** Unknown outcome: the node did not answer, or was not reached. */
export const isUnanswered = (error: LariatError): boolean =>
  error.kind === 'timeout' || error.kind === 'unavailable';

const WATCH_MS = 500;

/** The work's outcome, or NODE_NOT_READY as soon as one of the nodes is declared gone (invariant 8). */
export async function whileNodesLive<T>(
  context: NodeAccess,
  nodes: readonly string[],
  work: Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const watch = async (): Promise<never> => {
    for (;;) {
      await delay(WATCH_MS, ended.signal);
      if (ended.signal.aborted) return new Promise(() => undefined);
      for (const node of nodes) {
        // No answer says nothing about the node (invariant 2).
        if (await isDeclaredGone(context, node).catch(() => false)) throw nodeGone(node);
      }
    }
  };
  try {
    return await Promise.race([work, watch()]);
  } finally {
    ended.abort();
  }
}

function nodeGone(node: string): LariatError {
  return lariatError('NODE_NOT_READY', `Node '${node}' was declared down before it answered.`, {
    node,
  });
}

/** A command that ends with NODE_NOT_READY as soon as its node is declared gone, whatever its deadline (invariant 8). */
export async function commandWhileLive<Name extends CommandName>(
  context: NodeAccess,
  node: string,
  name: Name,
  input: CommandMap[Name]['input'],
  options: CommandOptions,
): Promise<CommandMap[Name]['output']> {
  // No answer says nothing about the node (invariant 2): the command itself will tell.
  if (await isDeclaredGone(context, node).catch(() => false)) throw nodeGone(node);
  return whileNodesLive(context, [node], context.command(node, name, input, options));
}

/** A command whose failure the caller judges itself; a node that is declared gone has failed at once. */
export async function attemptWhileLive<Name extends CommandName>(
  context: NodeAccess,
  node: string,
  name: Name,
  input: CommandMap[Name]['input'],
  key: string,
  timeoutMs = COMMAND_TIMEOUT_MS,
): Promise<Outcome<CommandMap[Name]['output']>> {
  try {
    return {
      ok: true,
      output: await commandWhileLive(context, node, name, input, { key, timeoutMs }),
    };
  } catch (reason) {
    return { ok: false, error: toLariatError(reason) };
  }
}

/**
 * A command that takes something away. What the node refuses is an error; a node that is declared gone, or a disk that
 * is lost, is not waited for: what it still holds has no owner on record, and goes when that is back.
 */
export async function cleanUp<Name extends CommandName>(
  context: NodeAccess,
  node: string,
  name: Name,
  input: CommandMap[Name]['input'],
  key: string,
  timeoutMs = COMMAND_TIMEOUT_MS,
): Promise<void> {
  const outcome = await attemptWhileLive(context, node, name, input, key, timeoutMs);
  if (outcome.ok) return;
  if (!hasCode(outcome.error, 'NODE_NOT_READY', 'DISK_LOST')) throw outcome.error;
  context.log.info('left to the reconciler', { operation: context.operation, node, command: name });
}
