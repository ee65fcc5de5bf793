import { type KeepingRules, type VolumeRecord, lariatError, positionOf } from '@lariat/contracts';
import { systemClock, toLariatError } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import { describe, expect, it } from 'vitest';
import { RecordCopies } from './record-copies.js';

type Reply = (record: VolumeRecord) => Promise<unknown>;

const same: Reply = (record) => Promise.resolve({ held: positionOf(record), isSame: true });
const silent: Reply = () => new Promise(() => undefined);
const refused: Reply = () => Promise.reject(lariatError('DEADLINE_EXCEEDED', 'no answer'));
const newer: Reply = ({ revision = 0 }) =>
  Promise.resolve({ held: { generation: 0, revision: revision + 1 }, isSame: false });
const other: Reply = (record) => Promise.resolve({ held: positionOf(record), isSame: false });

type Part = Pick<VolumeRecord['replicas'][number], 'id' | 'node' | 'mode'>;
const newReplica = (id: string, node: string): Part => ({ id, node, mode: 'RW' });
/** What is looked at here of a record. */
const recordWith = (replicas: readonly Part[]): VolumeRecord =>
  ({ ...{ id: 'vol-1', name: 'v1', revision: 3 }, replicas }) as unknown as VolumeRecord;
const nodesOf = (record: VolumeRecord, mode?: Part['mode']): readonly string[] =>
  record.replicas.filter((one) => mode === undefined || one.mode === mode).map(({ node }) => node);
const RULES: KeepingRules<'volume'> = {
  kind: 'volume',
  keepersOf: (record) => nodesOf(record),
  witnessesOf: (record) => nodesOf(record, 'RW'),
  joiningOf: (record) => nodesOf(record, 'WO'),
  witness: 'a healthy replica',
};

function copiesWith(replies: Readonly<Record<string, Reply>>) {
  const asked: string[] = [];
  const send = (node: string, { input }: { input: object }): Promise<unknown> => {
    asked.push(node);
    return (replies[node] ?? silent)((input as { record: VolumeRecord }).record);
  };
  const log = createLog('test', 'error', () => undefined);
  const copies = new RecordCopies(RULES, { send: send as never }, systemClock, log);
  return { copies, asked };
}

const THREE = [newReplica('r1', 'n1'), newReplica('r2', 'n2'), newReplica('r3', 'n3')];
const record = recordWith(THREE);

describe('a record that is to be kept beside its replicas', () => {
  it('is when one member of the in-sync set has it, whatever becomes of the others', async () => {
    const { copies, asked } = copiesWith({ n1: silent, n2: same, n3: refused });
    expect(await copies.keep(record)).toEqual([]);
    expect(asked.toSorted()).toEqual(['n1', 'n2', 'n3']);
  });

  it('is not when only replicas that do not count have it', async () => {
    const faulted = { ...newReplica('r3', 'n3'), mode: 'ERR' as const };
    const replicas = [newReplica('r1', 'n1'), newReplica('r2', 'n2'), faulted];
    const { copies } = copiesWith({ n1: refused, n2: refused, n3: same });
    const outcome = await copies.keep(recordWith(replicas)).catch(toLariatError);
    expect(outcome).toMatchObject({ code: 'LEG_UNREACHABLE' });
  });

  it('is told of each node that keeps a newer one, or another one at the same place', async () => {
    const { copies } = copiesWith({ n1: same, n2: newer, n3: other });
    expect((await copies.keep(record)).map(({ node }) => node).toSorted()).toEqual(['n2', 'n3']);
  });

  it('is told of a newer one also by who is only to be a member: it may have gone on alone', async () => {
    const joining = { ...newReplica('r3', 'n3'), mode: 'WO' as const };
    const replicas = [newReplica('r1', 'n1'), newReplica('r2', 'n2'), joining];
    const { copies } = copiesWith({ n1: same, n2: same, n3: newer });
    expect((await copies.keep(recordWith(replicas))).map(({ node }) => node)).toEqual(['n3']);
    // Nobody waits long for one that has nothing to keep it with, or is silent.
    for (const n3 of [refused, silent]) {
      const others = copiesWith({ n1: same, n2: same, n3 });
      expect(await others.copies.keep(recordWith(replicas))).toEqual([]);
    }
  });

  it('is sent to a node once, however many wait for it', async () => {
    const { copies, asked } = copiesWith({ n1: same, n2: same, n3: same });
    copies.spread(record);
    await Promise.all([copies.keep(record), copies.keep(record)]);
    expect(asked).toHaveLength(3);
  });
});
