import { type SnapshotView, lariatError } from '@lariat/contracts';
import { beforeEach, describe, expect, it } from 'vitest';
import { Refusal } from '../domain/refusal.js';
import type { CallScope, GroupControllerCalls, HandlersOf } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';
import { groupControllerCalls } from './group-controller.js';

const scope: CallScope = { leftMs: () => 1_000, signal: new AbortController().signal };
const [ONE, TWO] = ['vol-000000000001', 'vol-000000000002'] as const;

const view = (volume: string, name: string, group?: string): SnapshotView => ({
  ...{ id: `snap-${volume.slice(4)}`, volume, name, sizeBytes: 1_024, parent: null, user: true },
  createdAt: '2026-01-01T00:00:00.500Z',
  ...(group === undefined ? {} : { group }),
});

describe('a group of snapshots', () => {
  let snapshots: SnapshotView[];
  let created: number;
  let calls: HandlersOf<GroupControllerCalls>;
  beforeEach(() => {
    [snapshots, created] = [[], 0];
    const answer = (name: string, body: Readonly<Record<string, unknown>>): unknown => {
      if (name === 'volume.get') {
        if (body['volume'] === ONE || body['volume'] === TWO) return { id: body['volume'] };
        throw lariatError('VOLUME_NOT_FOUND', 'none');
      }
      if (name === 'snapshot.list') return { snapshots };
      if (name === 'snapshot.delete') {
        snapshots = snapshots.filter(({ volume }) => volume !== body['volume']);
        return {};
      }
      created += 1;
      const made = (body['volumes'] as string[]).map((one) =>
        view(one, String(body['snapshot']), 'op-1'),
      );
      snapshots = [...snapshots, ...made];
      return { id: 'op-1', snapshots: made };
    };
    const request = (name: string, body: object): Promise<unknown> =>
      Promise.resolve().then(() => answer(name, body as never));
    calls = groupControllerCalls({ request } as unknown as ClusterPort);
  });

  const create = (...sourceVolumeIds: readonly string[]) =>
    calls.CreateVolumeGroupSnapshot({ name: 'g', sourceVolumeIds, parameters: {} }, scope);
  const endOf = (call: Promise<unknown>): Promise<string> =>
    call.then(
      () => 'OK',
      (error: unknown) => (error instanceof Refusal ? error.status : String(error)),
    );
  const ids = [`${ONE}/snap-000000000001`, `${TWO}/snap-000000000002`];

  it('is taken once, and the same answer is given again', async () => {
    const { groupSnapshot } = await create(ONE, TWO);
    expect(groupSnapshot).toMatchObject({
      ...{ groupSnapshotId: 'op-1', readyToUse: true },
      creationTime: { seconds: '1767225600', nanos: 500_000_000 },
      snapshots: ids.map((snapshotId) => ({ snapshotId, groupSnapshotId: 'op-1' })),
    });
    expect((await create(TWO, ONE)).groupSnapshot).toEqual(groupSnapshot);
    const found = await calls.GetVolumeGroupSnapshot(
      { groupSnapshotId: 'op-1', snapshotIds: ids },
      scope,
    );
    expect(found.groupSnapshot).toEqual(groupSnapshot);
    expect(created).toBe(1);
  });

  it('of other volumes, of none, or of what is not there is refused', async () => {
    await create(ONE, TWO);
    expect(await endOf(create(ONE))).toBe('ALREADY_EXISTS');
    expect(await endOf(create())).toBe('INVALID_ARGUMENT');
    expect(await endOf(create('vol-000000000009'))).toBe('NOT_FOUND');
  });

  it('is deleted as a whole, and what is gone already is fine', async () => {
    await create(ONE, TWO);
    snapshots = [...snapshots, { ...view(ONE, 'single'), id: 'snap-000000000009' }];
    const remove = (...snapshotIds: readonly string[]) =>
      endOf(calls.DeleteVolumeGroupSnapshot({ groupSnapshotId: 'op-1', snapshotIds }, scope));
    expect(await remove(...ids, `${ONE}/snap-000000000009`)).toBe('INVALID_ARGUMENT');
    expect(await remove(ids[0] ?? '')).toBe('INVALID_ARGUMENT');
    expect(snapshots).toHaveLength(3);
    expect(await remove(...ids)).toBe('OK');
    expect(await remove(...ids)).toBe('OK');
    const get = calls.GetVolumeGroupSnapshot({ groupSnapshotId: 'op-1', snapshotIds: [] }, scope);
    expect(await endOf(get)).toBe('NOT_FOUND');
  });
});
