import {
  ReplicaMode,
  type ReplicaRecord,
  ReplicaState,
  type VolumeRecord,
  comparePositions,
  positionOf,
  positionRecovered,
} from '@lariat/contracts';
import { inSyncOf } from '../replica-changes.js';
import { chooseRecord, foundReplica, missing } from './choose-record.js';
import { type Engine, countRetiredLegs, engineOf, legDoubt } from './engine-legs.js';
import type { Hearing, VolumeEvidence } from './evidence.js';
import type { NodeTask } from './node-task.js';
import { settleChain } from './settle-chain.js';

/** What is to become of one volume. */
export type VolumePlan =
  /** The store has it, as new as any node. */
  | { readonly kind: 'on-record'; readonly record: VolumeRecord }
  /** What nodes still have of it goes by itself. */
  | { readonly kind: 'deleted' }
  /** Left as it is. */
  | {
      readonly kind: 'left';
      readonly id: string;
      readonly record: VolumeRecord | null;
      readonly notes: readonly string[];
    }
  /** The record is written when the nodes have done their tasks, one after the other. */
  | {
      readonly kind: 'put-back';
      readonly record: VolumeRecord;
      readonly tasks: readonly NodeTask[];
      readonly notes: readonly string[];
    }
  /** The record is written as it was found; nothing may use it. */
  | { readonly kind: 'in-doubt'; readonly record: VolumeRecord; readonly notes: readonly string[] };

export interface PlanContext {
  readonly hearing: Hearing;
  /** As the store has it now. */
  readonly stored: VolumeRecord | undefined;
  readonly wasDeleted: boolean;
  /** The operator takes what was found for the newest. */
  readonly acceptDataLoss: boolean;
  readonly nowMs: number;
}

/** Decides on one volume by what the nodes tell of it. Never guesses: what can't be known is in doubt. Pure. */
export function planVolume(evidence: VolumeEvidence, context: PlanContext): VolumePlan {
  const { hearing, stored, acceptDataLoss } = context;
  const id = evidence.volume;
  const left = (record: VolumeRecord | null, ...notes: string[]): VolumePlan => ({
    kind: 'left',
    id,
    record,
    notes,
  });
  if (stored === undefined && context.wasDeleted) return { kind: 'deleted' };
  // The store is in doubt about the heads alone, not about who counts.
  const known = stored?.reverting?.isUnknown === true ? stored : undefined;
  const chosen = chooseRecord(evidence, hearing, known);
  if (chosen === undefined) {
    if (stored !== undefined) return asStored(stored);
    const where = evidence.replicas.map(({ replica, node }) => `${replica} on ${node}`).join(', ');
    return left(null, `no node keeps its record; left as they are: ${where || 'its engine'}`);
  }
  const { record } = chosen;
  if (stored !== undefined) {
    const isBehind = comparePositions(positionOf(stored), positionOf(record)) < 0;
    if (stored.inDoubt === undefined && !isBehind) return { kind: 'on-record', record: stored };
    if (stored.operation !== null)
      return left(
        stored,
        `operation ${stored.operation} still works on it: try again when it ended`,
      );
  }
  if (record.state === 'deleting') return asDeleting(record, evidence);
  if (isGone(record, evidence, hearing))
    return left(record, 'its nodes answer, and none has a replica of it any more');
  const isBeforeDoubt =
    stored?.inDoubt !== undefined && comparePositions(positionOf(stored), positionOf(record)) > 0;
  const aboutLegs = legDoubt(record, evidence);
  const doubts = [
    ...chosen.doubts,
    ...(aboutLegs === undefined ? [] : [aboutLegs]),
    ...(isBeforeDoubt
      ? ['the record in the store, which was in doubt already, is newer than all copies']
      : []),
  ];
  if (doubts.length > 0 && !acceptDataLoss) return inDoubt(record, evidence, doubts);
  return putBack(record, evidence, context, doubts);
}

/** No node keeps a copy that says otherwise. */
export const asStored = (record: VolumeRecord): VolumePlan =>
  record.inDoubt === undefined
    ? { kind: 'on-record', record }
    : { kind: 'in-doubt', record, notes: record.inDoubt };

function isGone(record: VolumeRecord, evidence: VolumeEvidence, hearing: Hearing): boolean {
  return (
    evidence.replicas.length === 0 &&
    record.replicas.every(({ node }) => hearing.answered.has(node))
  );
}

function inDoubt(
  record: VolumeRecord,
  evidence: VolumeEvidence,
  doubts: readonly string[],
): VolumePlan {
  return {
    kind: 'in-doubt',
    record: {
      ...record,
      state: record.attachment === null ? 'detached' : 'attached',
      epoch: highestEpoch(record, evidence),
      clean: false,
      operation: null,
      inDoubt: doubts,
    },
    notes: doubts,
  };
}

/** Whoever asked for it to go can ask again; nothing is taken away here. */
function asDeleting(record: VolumeRecord, evidence: VolumeEvidence): VolumePlan {
  const { inDoubt: _settled, ...rest } = record;
  return {
    kind: 'put-back',
    record: {
      ...rest,
      ...positionRecovered(record),
      epoch: highestEpoch(record, evidence),
      operation: null,
    },
    tasks: [],
    notes: ['it was being deleted: delete it again'],
  };
}

function putBack(
  before: VolumeRecord,
  evidence: VolumeEvidence,
  { hearing, nowMs }: PlanContext,
  doubts: readonly string[],
): VolumePlan {
  const notes = doubts.map((doubt) => `${doubt}; taken for the newest on request`);
  const { inDoubt: _settled, ...found } = before;
  const attached = settleAttachment(found, evidence, hearing);
  const engine = attached.engine;
  const record = countRetiredLegs(found, engine, evidence);
  if (record !== found) notes.push('the last leg of its engine was to leave it, and counts again');
  const faults = new Map<string, string>();
  for (const replica of record.replicas) {
    const reason = whyOut(replica, evidence, hearing);
    if (reason !== undefined) faults.set(replica.id, reason);
  }
  for (const [replica, reason] of lostBy(engine, inSyncOf(record), faults))
    faults.set(replica, reason);
  const chain = settleChain(
    record,
    record.replicas.flatMap((replica) => {
      const found = foundReplica(replica, evidence);
      const counts = replica.mode === ReplicaMode.rw && !faults.has(replica.id);
      return counts && found !== undefined ? [found] : [];
    }),
    { engine, createdAt: new Date(nowMs).toISOString() },
  );
  for (const [replica, reason] of chain.out) faults.set(replica, reason);
  const replicas = record.replicas.map((replica) => faulted(replica, faults, nowMs));
  const inSync = inSyncOf({ ...record, replicas });
  const doubt = chain.doubt ?? (inSync.length === 0 ? 'no replica is left that counts' : undefined);
  if (doubt !== undefined) return inDoubt(before, evidence, [...doubts, doubt]);
  for (const { id } of record.replicas) {
    const reason = faults.get(id);
    if (reason !== undefined) notes.push(`replica ${id} does not count: ${reason}`);
  }
  const { reverting: _ended, ...rest } = record;
  return {
    kind: 'put-back',
    record: {
      ...rest,
      ...positionRecovered(record),
      state: attached.state,
      attachment: attached.attachment === null ? null : { ...attached.attachment, inSync },
      clean: attached.clean && doubts.length === 0,
      epoch: highestEpoch(record, evidence),
      replicas,
      sizeBytes: chain.sizeBytes,
      snapshots: chain.snapshots,
      headParent: chain.headParent,
      operation: null,
    },
    tasks: [...attached.tasks, ...unfinished(record, evidence, engine), ...chain.tasks],
    notes: [...notes, ...attached.notes, ...chain.notes],
  };
}

const highestEpoch = (record: VolumeRecord, evidence: VolumeEvidence): number =>
  Math.max(record.epoch, evidence.epoch, ...evidence.engines.map(({ epoch }) => epoch));

function whyOut(
  replica: ReplicaRecord,
  evidence: VolumeEvidence,
  hearing: Hearing,
): string | undefined {
  if (replica.mode === ReplicaMode.err) return undefined;
  if (replica.mode === ReplicaMode.wo) {
    const what = replica.state === ReplicaState.removing ? 'removal' : 'rebuild';
    return `its ${what} was cut off when the store was lost`;
  }
  return missing(replica, evidence, hearing);
}

/** What the engine itself knows of legs that it has lost; it may not have got that on record. */
function lostBy(
  engine: Engine | undefined,
  inSync: readonly string[],
  faults: ReadonlyMap<string, string>,
): readonly (readonly [string, string])[] {
  if (engine === undefined) return [];
  const members = inSync.filter((id) => !faults.has(id));
  const lost = members.filter((id) => !engine.operational.includes(id));
  // An engine without any leg says nothing about which of them was last.
  if (lost.length === members.length) return [];
  return lost.map((id) => [
    id,
    engine.lost.find(({ replica }) => replica === id)?.reason ?? 'its engine goes on without it',
  ]);
}

function faulted(
  replica: ReplicaRecord,
  faults: ReadonlyMap<string, string>,
  nowMs: number,
): ReplicaRecord {
  const reason = faults.get(replica.id);
  if (reason === undefined) return replica;
  const { err } = ReplicaMode;
  return { ...replica, mode: err, state: ReplicaState.faulted, reason, faultedAtMs: nowMs };
}

interface SettledAttachment {
  readonly state: VolumeRecord['state'];
  readonly attachment: VolumeRecord['attachment'];
  readonly clean: boolean;
  /** The engine that goes on; undefined when none does, or none is known to. */
  readonly engine: Engine | undefined;
  readonly tasks: readonly NodeTask[];
  readonly notes: readonly string[];
}

function settleAttachment(
  record: VolumeRecord,
  evidence: VolumeEvidence,
  hearing: Hearing,
): SettledAttachment {
  const { attachment } = record;
  const none = { engine: undefined, tasks: [], notes: [] };
  if (attachment === null) return { ...none, state: record.state, attachment, clean: record.clean };
  const { node, epoch } = attachment;
  const engine = engineOf(record, evidence);
  const isEmpty = legDoubt(record, evidence) !== undefined;
  if (engine !== undefined && attachment.endpoint !== null && !isEmpty) {
    const notes = [`its engine runs on '${node}': it stays attached`];
    return { state: 'attached', attachment, clean: false, engine, tasks: [], notes };
  }
  if (engine !== undefined) {
    // Half way through an attach nobody was told where to find it; without a member it is of no use.
    const input = { volume: record.id, epoch };
    const tasks: NodeTask[] = [
      { node, command: 'frontend.stop', input: { ...input, force: true } },
      { node, command: 'engine.stop', input },
    ];
    const notes = [
      isEmpty
        ? `its engine on '${node}' has no member left: detached`
        : `its attach to '${node}' was cut off: detached`,
    ];
    return { ...none, state: 'detached', attachment: null, clean: false, tasks, notes };
  }
  if (hearing.answered.has(node)) {
    const notes = [`'${node}' runs no engine of it any more: detached`];
    return { ...none, state: 'detached', attachment: null, clean: record.clean, notes };
  }
  const notes = [`its engine may still run on '${node}', which does not answer`];
  return { ...none, state: 'attached', attachment, clean: false, notes };
}

/** What rebuilds have left on nodes that answer. */
function unfinished(
  record: VolumeRecord,
  evidence: VolumeEvidence,
  engine: Engine | undefined,
): readonly NodeTask[] {
  const volume = record.id;
  const joining = record.replicas.filter(
    ({ id, mode }) => mode === ReplicaMode.wo && engine?.operational.includes(id) === true,
  );
  const leave = joining.flatMap(({ id }): NodeTask[] =>
    engine === undefined
      ? []
      : [
          {
            node: engine.node,
            command: 'engine.remove-leg',
            input: { volume, epoch: engine.epoch, replica: id },
          },
        ],
  );
  const exports = evidence.replicas.flatMap(({ node, replica, exported, scratches }) => [
    ...scratches.map((scratchNqn): NodeTask => ({
      node,
      command: 'rebuild.detach-scratch',
      input: { replica, volume, scratchNqn },
    })),
    ...exported.map((snapshot): NodeTask => ({
      node,
      command: 'rebuild.unexport-snapshot',
      input: { replica, volume, snapshot },
    })),
  ]);
  return [...leave, ...exports];
}
