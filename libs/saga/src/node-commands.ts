import { type CommandMap, type CommandName, hasCode } from '@lariat/contracts';
import { LariatError, toLariatError } from '@lariat/kernel';
import type { StepContext } from './definition.js';

/** The part of a step's context that talks to nodes. */
export type NodeAccess = Pick<StepContext<unknown, unknown>, 'command' | 'client' | 'log' | 'operation'>;

/** Time for a node to answer a command that needs no copying. */
export const COMMAND_TIMEOUT_MS = 10_000;

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

/** Unknown outcome: the node did not answer, or was not reached. */
export const isUnanswered = (error: LariatError): boolean => error.kind === 'timeout' || error.kind === 'unavailable';

/**
 * For clean-up: what the node refuses is an error; a node that does not answer is waited for until it is declared
 * gone, and then left: what it still holds has no owner on record and goes when it returns.
 */
export async function orLeaveToReconciler(
  context: NodeAccess,
  node: string,
  outcome: Outcome<unknown>,
): Promise<void> {
  if (outcome.ok) return;
  if (isUnanswered(outcome.error) && (await isDeclaredGone(context, node))) {
    context.log.info('left to the reconciler', { operation: context.operation, node, error: outcome.error });
    return;
  }
  throw outcome.error;
}
