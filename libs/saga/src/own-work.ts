import { CLUSTER_ACTORS, hasCode } from '@lariat/contracts';
import { delay, toLariatError } from '@lariat/kernel';
import type { SagaRecord } from './saga-record.js';
import type { SagaRunner } from './saga-runner.js';

type Operations = Pick<SagaRunner, 'find' | 'wait'>;

/** How long a user's request waits for what the cluster has begun by itself on the same object, before it is refused. */
const OWN_WORK_MS = 5_000;
/** Between the end of an operation and another look: its object is let go a moment before or after. */
const LET_GO_MS = 50;

/**
 * The clean-ups and repairs of the cluster itself are short, and nothing that a user knows of: they are no reason to refuse
 * a request, but for one of the cluster's own, which is made again anyway.
 */
export async function startAfterOwnWork(
  runner: Operations,
  actor: string,
  start: () => Promise<SagaRecord>,
): Promise<SagaRecord> {
  const deadlineMs = performance.now() + OWN_WORK_MS;
  for (;;) {
    try {
      return await start();
    } catch (error) {
      const leftMs = deadlineMs - performance.now();
      if (CLUSTER_ACTORS.has(actor) || leftMs <= 0 || !(await ownWorkEnds(runner, error, leftMs)))
        throw error;
    }
  }
}

/** Waits for the operation that this error names; false when it is none of the cluster's own, or goes on for longer. */
async function ownWorkEnds(
  runner: Operations,
  refusal: unknown,
  withinMs: number,
): Promise<boolean> {
  if (!hasCode(refusal, 'OPERATION_IN_PROGRESS')) return false;
  const { operation } = toLariatError(refusal).details ?? {};
  const holder = typeof operation === 'string' ? await runner.find(operation) : undefined;
  if (holder === undefined || !CLUSTER_ACTORS.has(holder.actor)) return false;
  try {
    await runner.wait(holder.id, withinMs);
  } catch {
    return false;
  }
  await delay(LET_GO_MS);
  return true;
}
