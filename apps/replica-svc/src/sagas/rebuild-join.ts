import {
  type EngineLeg,
  type VolumeChange,
  type VolumeRecord,
  engineHostNqn,
  lariatError,
  nodeHostNqn,
} from '@lariat/contracts';
import { RETRY_BRIEFLY, cleanUp } from '@lariat/saga';
import { chooseSource } from '../domain/choose-rebuild.js';
import { DEFAULT_STALL_MS } from '../domain/due-rebuild.js';
import { isReadyAmong } from '../domain/returned.js';
import { findVolume } from './find-volume.js';
import { changeVolume, settleVolume } from './hold-volume.js';
import { leaveEngine } from './leave-engine.js';
import {
  type RebuildContext,
  type RebuildDeps,
  type RebuildStep,
  type ReplicaPlace,
  inSyncReplicas,
  isReuse,
  joinSnapshotId,
  remembered,
} from './rebuild-memory.js';
import { takeAway } from './take-away.js';

/** Beside what happens behind the gate. */
const STEP_TIMEOUT_MS = 22_000;

/** Writers see a stall of at most this; the gate opens by itself after it. */
const gateMsOf = ({ stallMs = DEFAULT_STALL_MS }: RebuildDeps): number => stallMs;
/** Of each command behind the gate: there is no use in waiting until it has opened. */
const underGateMsOf = (deps: RebuildDeps): number => Math.round((gateMsOf(deps) * 5) / 8);

/**
 * Steps (a) to (c) of design section 5, behind the engine's gate: the healthy heads are frozen at one point, the
 * new head is made as a clone of that point, and the engine takes it as a leg. From then on every write reaches it.
 */
export function joinStep(deps: RebuildDeps): RebuildStep {
  return {
    name: 'join',
    waitsFor: (_input, memory) => `the new replica on ${memory.target?.node ?? '?'} to join`,
    timeoutMs: STEP_TIMEOUT_MS + gateMsOf(deps),
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      if (context.attempt > 1) {
        await changeVolume(context, [await asItIs(deps, context)]);
        if (!(await leave(deps, context))) throw lastLeg(context);
      }
      const join = `join.${context.attempt}`;
      await context.checkpoint({ join });
      const begun = { ...context, memory: { ...context.memory, join } };
      const engine = remembered(context.memory.engine, 'engine');
      if (engine === null) await freezeAndClone(deps, begun);
      else await joinBehindGate(deps, begun, engine);
      const after = await findVolume(deps, context.input.volume);
      const snapshot = joinSnapshotId(begun);
      await changeVolume(context, [
        {
          type: 'add-snapshot',
          snapshot: {
            id: snapshot,
            name: snapshot,
            sizeBytes: after.sizeBytes,
            createdAt: new Date(deps.clock.nowMs()).toISOString(),
            parent: after.headParent,
            user: false,
          },
        },
      ]);
    },
    undo: async (context) => {
      if (context.memory.target === undefined) return;
      const isKept = await settleVolume(context, [await asItIs(deps, context)]);
      // A recovery settles the rest.
      if (!isKept && (await findVolume(deps, context.input.volume)).inDoubt !== undefined) return;
      if (await leave(deps, context, isKept)) return;
      // It stays where it is, as a leg that does not count: see undo of place.
      await context.checkpoint({ stays: true });
      await settleVolume(context, [giveUp(deps, context)]);
    },
  };
}

function lastLeg({ input, memory }: RebuildContext): Error {
  const { id } = remembered(memory.target, 'target');
  return lariatError(
    'LAST_REPLICA',
    `The engine of volume ${input.volume} has lost all legs but ${id}, which is not in sync: bring the nodes of the others back, then detach the volume and attach it again.`,
    { volume: input.volume, replica: id },
  );
}

async function joinBehindGate(
  deps: RebuildDeps,
  context: RebuildContext,
  engine: { readonly node: string; readonly epoch: number },
): Promise<void> {
  const { volume } = context.input;
  const target = remembered(context.memory.target, 'target');
  const gate = { volume, epoch: engine.epoch, gate: `${context.operation}.${context.attempt}` };
  const options = { key: target.id, timeoutMs: underGateMsOf(deps) };
  await context.command(
    engine.node,
    'engine.close-gate',
    { ...gate, timeoutMs: gateMsOf(deps) },
    options,
  );
  try {
    await freezeAndClone(deps, context);
    const leg = await exportLeg(deps, context, engine);
    // Refused once the gate has opened: so a leg that is in has missed nothing.
    await context.command(engine.node, 'engine.add-leg', { ...gate, leg }, options);
  } finally {
    await context.command(engine.node, 'engine.open-gate', gate, options);
  }
}

async function freezeAndClone(deps: RebuildDeps, context: RebuildContext): Promise<void> {
  const { target: to, sizeBytes } = context.memory;
  const volume = await findVolume(deps, context.input.volume);
  const source = await sourceInSync(deps, context, volume);
  const target = remembered(to, 'target');
  const snapshot = joinSnapshotId(context);
  const timeoutMs = underGateMsOf(deps);
  await Promise.all(
    inSyncReplicas(volume).map(({ id, node }) =>
      context.command(
        node,
        'snapshot.create',
        { replica: id, volume: volume.id, snapshot },
        { key: id, timeoutMs },
      ),
    ),
  );
  const endpoint = await context.command(
    source.node,
    'rebuild.export-snapshot',
    { replica: source.id, volume: volume.id, snapshot, hostNqn: nodeHostNqn(target.node) },
    { key: source.id, timeoutMs },
  );
  await context.command(
    target.node,
    'rebuild.create-head',
    {
      replica: target.id,
      volume: volume.id,
      disk: target.disk,
      sizeBytes: remembered(sizeBytes, 'sizeBytes'),
      source: endpoint,
    },
    { key: target.id, timeoutMs },
  );
}

/**
 * The replica to copy from, by a record that was read when nobody could write any more: one that has left the in-sync set
 * since it was chosen, as in an engine's restart between two attempts, lacks what was written after that.
 */
async function sourceInSync(
  deps: RebuildDeps,
  context: RebuildContext,
  volume: VolumeRecord,
): Promise<ReplicaPlace> {
  const chosen = remembered(context.memory.source, 'source');
  if (inSyncReplicas(volume).some(({ id }) => id === chosen.id)) return chosen;
  const { id, node, disk } = chooseSource(volume, isReadyAmong(deps.nodes.list()));
  await context.checkpoint({ source: { id, node, disk } });
  context.log.info('another replica is copied from', {
    ...{ operation: context.operation, volume: volume.id, before: chosen.id, source: id },
  });
  return { id, node, disk };
}

async function exportLeg(
  deps: RebuildDeps,
  context: RebuildContext,
  engine: { readonly node: string; readonly epoch: number },
): Promise<EngineLeg> {
  const { volume } = context.input;
  const target = remembered(context.memory.target, 'target');
  if (target.node === engine.node) return { replica: target.id, endpoint: null };
  const hostNqns = [engineHostNqn(volume, engine.epoch)];
  const input = { replica: target.id, volume, epoch: engine.epoch, hostNqns };
  const options = { key: target.id, timeoutMs: underGateMsOf(deps) };
  return {
    replica: target.id,
    endpoint: await context.command(target.node, 'replica.export', input, options),
  };
}

/**
 * A change that leaves a joining replica as it is, and is answered when no member, nor the replica's own node, keeps a newer
 * record: in a store that was set back the rebuild may have succeeded, and the replica be the only one with all writes.
 */
async function asItIs(deps: RebuildDeps, context: RebuildContext): Promise<VolumeChange> {
  const { id } = remembered(context.memory.target, 'target');
  const replica = (await findVolume(deps, context.input.volume)).replicas.find(
    (found) => found.id === id,
  );
  if (replica?.mode === 'WO') return { type: 'put-replica', replica };
  return giveUp(deps, context);
}

function giveUp({ clock }: RebuildDeps, { memory }: RebuildContext): VolumeChange {
  const { id } = remembered(memory.target, 'target');
  const reason = 'its rebuild was given up';
  return { type: 'fault-replica', replica: id, reason, atMs: clock.nowMs() };
}

/**
 * Takes back whatever of the join has happened; each part may or may not be there. False when the engine keeps the new
 * replica, having lost all others: then it is not deleted under it.
 */
async function leave(
  deps: RebuildDeps,
  context: RebuildContext,
  mayDelete = true,
): Promise<boolean> {
  const { volume } = context.input;
  const { engine = null, source, target } = context.memory;
  const snapshot = joinSnapshotId(context);
  if (target === undefined || source === undefined) return true;
  // The raid drops the leg before its target goes, so that no write waits for it.
  const hasLeft = engine === null || (await leaveEngine(context, engine, target.id));
  if (mayDelete && hasLeft) {
    // What a lost replica still had stays: it is of use to the next try.
    const command = isReuse(context.memory) ? 'rebuild.discard-head' : 'replica.delete';
    await takeAway(deps, context, command, target);
  }
  const exported = { replica: source.id, volume, snapshot };
  await cleanUp(context, source.node, 'rebuild.unexport-snapshot', exported, `leave-${source.id}`);
  await dropJoinSnapshot(context, await findVolume(deps, context.input.volume));
  return hasLeft;
}

/** The snapshot has served: its clusters go to what stands on it. */
export async function dropJoinSnapshot(
  context: RebuildContext,
  volume: VolumeRecord,
): Promise<void> {
  const snapshot = joinSnapshotId(context);
  await Promise.all(
    volume.replicas
      .filter(({ mode }) => mode !== 'ERR')
      .map(async ({ id, node }) => {
        const input = { replica: id, volume: volume.id, snapshot };
        await cleanUp(context, node, 'snapshot.delete', input, `drop-${id}`);
      }),
  );
  await changeVolume(context, [{ type: 'drop-snapshot', snapshot }]);
}
