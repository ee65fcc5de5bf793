import type { SnapshotRecord, VolumeRecord } from '@lariat/contracts';
import type { FoundReplica } from './evidence.js';
import type { NodeTask } from './node-task.js';

export interface SettledChain {
  readonly snapshots: readonly SnapshotRecord[];
  readonly headParent: string | null;
  readonly sizeBytes: number;
  /** Members whose bytes are not those of the others, and why. */
  readonly out: ReadonlyMap<string, string>;
  readonly tasks: readonly NodeTask[];
  readonly notes: readonly string[];
  /** Why no choice can be made between the members. */
  readonly doubt: string | null;
}

/** The engine that goes on with the members as its legs. */
interface RunningEngine {
  readonly node: string;
  readonly epoch: number;
}

interface Chain {
  readonly headParent: string | null;
  readonly parents: ReadonlyMap<string, string | null>;
}

/**
 * Compares the snapshots of the members with each other and with the record. What an operation had left half done is
 * ended: a snapshot that not all of them have goes, one that all have stays, a growth that one has made is made by all.
 * Members that agree with each other are right; where they differ, those that the record describes are. Pure.
 */
export function settleChain(
  record: VolumeRecord,
  members: readonly FoundReplica[],
  options: { readonly engine: RunningEngine | undefined; readonly createdAt: string },
): SettledChain {
  const out = new Map<string, string>();
  let left = members;
  const drop = (found: FoundReplica, reason: string): void => {
    out.set(found.replica, reason);
    left = left.filter(({ replica }) => replica !== found.replica);
  };
  for (const found of members) {
    const lost = found.snapshots.find(({ presence }) => presence !== 'present');
    if (lost !== undefined)
      drop(found, `its snapshot ${lost.snapshot} is not on its disk any more`);
  }
  const { reverting } = record;
  const reverted =
    reverting === undefined ? [] : left.filter(({ head }) => head.madeBy === reverting.operation);
  // No chain tells this of heads that stood on that snapshot before.
  const isDone = reverted.length === left.length;
  if (!isDone)
    for (const found of reverted)
      drop(
        found,
        `it was reverted to ${reverting?.snapshot}, and others were not: that was cut off`,
      );
  let verdict = judgeSnapshots(record, left);
  // The chains with what the record knows alone: what all have beside it does not tell them apart.
  const known = new Set(record.snapshots.map(({ id }) => id));
  const compared = (chain: Chain, kept: ReadonlySet<string>): string =>
    textOf(reduced(chain, new Set([...kept].filter((id) => known.has(id)))));
  const shapes = new Set(left.map((found) => compared(chainOf(found), verdict.kept)));
  let doubt: string | null = null;
  if (shapes.size > 1) {
    const wanted = compared(chainOfRecord(record), verdict.kept);
    const odd = left.filter((found) => compared(chainOf(found), verdict.kept) !== wanted);
    if (odd.length === left.length) {
      doubt = `its replicas have different chains of snapshots, and none is the one on record: ${left.map(({ replica, head }) => `${replica} stands on ${head.parent ?? 'nothing'}`).join(', ')}`;
    } else {
      for (const found of odd)
        drop(
          found,
          `it stands on ${found.head.parent ?? 'nothing'}, and the record says ${record.headParent ?? 'nothing'}: a revert was cut off`,
        );
      verdict = judgeSnapshots(record, left);
    }
  }
  const [first] = left;
  const chain =
    first === undefined || doubt !== null
      ? chainOfRecord(record)
      : reduced(chainOf(first), verdict.kept);
  const growth = settleSize(record, left, options.engine);
  return {
    snapshots: snapshotsAfter(record, left, verdict.kept, chain, options.createdAt),
    headParent: chain.headParent,
    sizeBytes: growth.sizeBytes,
    out,
    tasks: doubt === null ? [...verdict.tasks, ...growth.tasks] : [],
    notes: [...revertNotes(record, isDone), ...verdict.notes, ...growth.notes],
    doubt,
  };
}

function revertNotes({ reverting }: VolumeRecord, isDone: boolean): readonly string[] {
  if (reverting === undefined) return [];
  const outcome = isDone ? 'all replicas that count have made it' : 'it is not reverted';
  return [`its revert to ${reverting.snapshot} was cut off: ${outcome}`];
}

interface SnapshotVerdict {
  readonly kept: ReadonlySet<string>;
  readonly tasks: readonly NodeTask[];
  readonly notes: readonly string[];
}

function judgeSnapshots(record: VolumeRecord, members: readonly FoundReplica[]): SnapshotVerdict {
  const kept = new Set<string>();
  const tasks: NodeTask[] = [];
  const notes: string[] = [];
  const byId = new Map(record.snapshots.map((snapshot) => [snapshot.id, snapshot]));
  const found = members.flatMap(({ snapshots }) => snapshots.map(({ snapshot }) => snapshot));
  const beneathClones = new Set((record.clones ?? []).map(({ snapshot }) => snapshot));
  for (const id of new Set([...byId.keys(), ...found])) {
    const holders = members.filter(({ snapshots }) => snapshots.some((s) => s.snapshot === id));
    const recorded = byId.get(id);
    const isWhole = holders.length === members.length && members.length > 0;
    const isPassing = recorded?.user === false && recorded.madeFor !== 'clone';
    if (beneathClones.has(id) || (isWhole && !isPassing)) {
      kept.add(id);
      if (recorded === undefined)
        notes.push(`snapshot ${id} is on all replicas and not on record: it is kept`);
      continue;
    }
    const what =
      recorded === undefined
        ? `snapshot ${id}, which was being taken`
        : recorded.user
          ? `snapshot '${recorded.name}', whose deletion had begun`
          : `snapshot ${id} of a rebuild that was cut off`;
    notes.push(`${what}, goes`);
    for (const { node, replica } of holders)
      tasks.push({
        node,
        command: 'snapshot.delete',
        input: { replica, volume: record.id, snapshot: id },
      });
  }
  return { kept, tasks, notes };
}

const chainOf = (found: FoundReplica): Chain => ({
  headParent: found.head.parent,
  parents: new Map(found.snapshots.map(({ snapshot, parent }) => [snapshot, parent])),
});

const chainOfRecord = (record: VolumeRecord): Chain => ({
  headParent: record.headParent,
  parents: new Map(record.snapshots.map(({ id, parent }) => [id, parent])),
});

/** The chain when only these snapshots are left: what stood on another one stands on what was beneath it. */
function reduced({ headParent, parents }: Chain, kept: ReadonlySet<string>): Chain {
  const beneath = (id: string | null): string | null => {
    let at = id;
    while (at !== null && !kept.has(at)) at = parents.get(at) ?? null;
    return at;
  };
  return {
    headParent: beneath(headParent),
    parents: new Map(
      [...parents].filter(([id]) => kept.has(id)).map(([id, parent]) => [id, beneath(parent)]),
    ),
  };
}

const textOf = ({ headParent, parents }: Chain): string =>
  JSON.stringify([headParent, [...parents].toSorted(([a], [b]) => (a < b ? -1 : 1))]);

function snapshotsAfter(
  record: VolumeRecord,
  members: readonly FoundReplica[],
  kept: ReadonlySet<string>,
  chain: Chain,
  createdAt: string,
): readonly SnapshotRecord[] {
  const parentOf = (id: string): string | null => chain.parents.get(id) ?? null;
  const known = new Set(record.snapshots.map(({ id }) => id));
  const unknown = [...kept].filter((id) => !known.has(id));
  return [
    ...record.snapshots
      .filter(({ id }) => kept.has(id) || members.length === 0)
      .map((snapshot) => ({ ...snapshot, parent: parentOf(snapshot.id) })),
    ...unknown.map((id) => ({
      id,
      name: `recovered-${id.slice(id.indexOf('-') + 1)}`,
      sizeBytes: members[0]?.snapshots.find(({ snapshot }) => snapshot === id)?.sizeBytes ?? 0,
      createdAt,
      parent: parentOf(id),
      user: true,
    })),
  ];
}

/** Growing is safe, also twice and under an engine; shrinking never is: hosts may have used what one of them had. */
function settleSize(
  record: VolumeRecord,
  members: readonly FoundReplica[],
  engine: RunningEngine | undefined,
): Pick<SettledChain, 'sizeBytes' | 'tasks' | 'notes'> {
  const volume = record.id;
  const sizeBytes = Math.max(record.sizeBytes, ...members.map(({ head }) => head.sizeBytes));
  const resized = members
    .filter(({ head }) => head.sizeBytes < sizeBytes)
    .map(({ node, replica }): NodeTask => ({
      node,
      command: 'replica.resize',
      input: { replica, volume, sizeBytes },
    }));
  const isGrown = sizeBytes !== record.sizeBytes || resized.length > 0;
  if (!isGrown) return { sizeBytes, tasks: [], notes: [] };
  const shown: NodeTask[] =
    engine === undefined
      ? []
      : [
          {
            node: engine.node,
            command: 'engine.resize',
            input: { volume, epoch: engine.epoch, sizeBytes },
          },
        ];
  return {
    sizeBytes,
    tasks: [...resized, ...shown],
    notes: [`its growth to ${sizeBytes} bytes, which was cut off, is ended`],
  };
}
