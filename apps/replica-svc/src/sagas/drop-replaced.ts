import { settleVolume } from './hold-volume.js';
import { leaveEngine } from './leave-engine.js';
import { takeAway } from './take-away.js';
import {
  type RebuildContext,
  type RebuildDeps,
  type RebuildMemory,
  isReuse,
} from './rebuild-memory.js';

/** The failed replica that the new one takes the place of; null when there is none, or when it is itself brought back. */
export const leavingOf = (memory: RebuildContext['memory']): RebuildMemory['replaced'] =>
  isReuse(memory) ? null : (memory.replaced ?? null);

/** Takes the replaced one away, when a member keeps that it does not count; else it goes on to count. */
export async function dropReplaced(deps: RebuildDeps, context: RebuildContext): Promise<void> {
  const leaving = leavingOf(context.memory);
  const { engine = null } = context.memory;
  if (leaving === null) return;
  const { volume } = context.input;
  const replica = leaving.id;
  const mayGo = await isRetirementKept(deps, context, replica);
  // One that was moved is a leg still; of one that had failed the engine has let go.
  if (mayGo && (engine === null || (await leaveEngine(context, engine, replica)))) {
    if (await settleVolume(context, [{ type: 'drop-replica', replica }]))
      await takeAway(deps, context, 'replica.delete', leaving);
    await deps.allocator.release([replica]);
    return;
  }
  // It has all that was written, and nothing else has, or none that is heard: it is not given up for a lost successor.
  await countAgain(deps, context, replica);
  // One that had failed goes when the engine has.
  const record = await deps.volumes.fresh(volume);
  if (record?.replicas.some(({ id }) => id === replica) === false)
    await deps.allocator.release([replica]);
}

/**
 * What leaves misses writes, and goes: a member must keep first that it does not count (docs/adr/0016). Once that is so it
 * stays so, since the engine may have let go.
 */
async function isRetirementKept(
  deps: RebuildDeps,
  context: RebuildContext,
  replica: string,
): Promise<boolean> {
  if (context.memory.retired === true) return true;
  const record = await deps.volumes.fresh(context.input.volume);
  const found = record?.replicas.find(({ id }) => id === replica);
  // It counts again since an earlier run.
  if (found?.mode === 'RW') return false;
  if (found?.state !== 'removing') return true;
  if (!(await settleVolume(context, [{ type: 'retire-replica', replica }]))) return false;
  await context.checkpoint({ retired: true });
  return true;
}

/** A replica that has not left its engine goes on to count, unless it was lost since. */
export async function countAgain(
  deps: RebuildDeps,
  context: RebuildContext,
  replica: string,
): Promise<void> {
  const record = await deps.volumes.fresh(context.input.volume);
  if (record?.replicas.find(({ id }) => id === replica)?.state === 'removing')
    await settleVolume(context, [{ type: 'sync-replica', replica }]);
}
