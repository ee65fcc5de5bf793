import { lariatError } from '@lariat/contracts';
import { GIB, MIB } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { Refusal } from '../domain/refusal.js';
import type { CallScope, ControllerCalls, HandlersOf } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';
import { controllerCalls } from './controller.js';

const scope: CallScope = { leftMs: () => 60_000, signal: new AbortController().signal };

interface Kept {
  id: string;
  name: string;
  sizeBytes: number;
  state: string;
  operation: string | null;
  labels: Record<string, string>;
  attachment: { node: string } | null;
  [field: string]: unknown;
}

/** As much of a cluster as a controller asks for, and what it was asked. */
class FakeCluster implements ClusterPort {
  readonly volumes: Kept[] = [];
  snapshots: { id: string; volume: string; name: string; user: boolean }[] = [];
  readonly asked: string[] = [];
  /** Runs before the request of that name, once. */
  before: Record<string, () => void> = {};

  request(name: string, body: Record<string, unknown>): Promise<never> {
    this.asked.push(name);
    const first = this.before[name];
    delete this.before[name];
    try {
      first?.();
      return Promise.resolve(this.answer(name, body) as never);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  add(over: Partial<Kept>): Kept {
    const volume: Kept = {
      ...{ id: `vol-00000000000${this.volumes.length}`, name: 'v', sizeBytes: GIB },
      ...{ state: 'detached', operation: null, labels: {}, attachment: null },
      ...{ replicas: [], replicaCount: 2, robustness: 'healthy' },
      ...over,
    };
    this.volumes.push(volume);
    return volume;
  }

  private find(reference: unknown): Kept {
    const found = this.volumes.find(({ id, name }) => id === reference || name === reference);
    if (found === undefined) throw lariatError('VOLUME_NOT_FOUND', 'none');
    return found;
  }

  private answer(name: string, body: Record<string, unknown>): unknown {
    switch (name) {
      case 'volume.get':
        return this.find(body['volume']);
      case 'volume.list':
        return { volumes: this.volumes };
      case 'volume.create':
        if (this.volumes.some((volume) => volume.name === body['name']))
          throw lariatError('VOLUME_NAME_TAKEN', 'taken');
        return this.add({
          ...{ name: String(body['name']), sizeBytes: Number(body['sizeBytes']) },
          labels: body['labels'] as Record<string, string>,
        });
      case 'operation.wait':
        for (const volume of this.volumes) volume.state = 'detached';
        return {};
      case 'snapshot.list':
        return {
          snapshots: this.snapshots.filter(
            ({ volume }) => body['volume'] === undefined || volume === body['volume'],
          ),
        };
      case 'snapshot.get': {
        const found = this.snapshots.find(
          ({ id, volume }) => id === body['snapshot'] && volume === body['volume'],
        );
        if (found === undefined) throw lariatError('SNAPSHOT_NOT_FOUND', 'none');
        return { ...found, sizeBytes: GIB, createdAt: '2026-01-01T00:00:00.500Z' };
      }
      case 'node.get':
        if (body['node'] !== 'n1' && body['node'] !== 'n2')
          throw lariatError('NODE_NOT_FOUND', 'none');
        return {
          name: body['node'],
          frontends: [{ frontend: 'loop', available: true, reason: null }],
        };
      case 'volume.attach': {
        const volume = this.find(body['volume']);
        volume.attachment = { node: String(body['node']) };
        return Object.assign(volume, { state: 'attached' });
      }
      default:
        return {};
    }
  }
}

type Controller = HandlersOf<ControllerCalls>;

function newController(): { readonly cluster: FakeCluster; readonly calls: Controller } {
  const cluster = new FakeCluster();
  return { cluster, calls: controllerCalls(cluster) };
}

const createRequest = (over: object = {}): ControllerCalls['CreateVolume']['request'] => ({
  ...{ name: 'pvc-1', parameters: {}, mutableParameters: {}, volumeContentSource: null },
  capacityRange: { requiredBytes: String(8 * MIB), limitBytes: '0' },
  volumeCapabilities: [
    {
      mount: { fsType: 'ext4', mountFlags: [], volumeMountGroup: '' },
      accessMode: { mode: 'SINGLE_NODE_WRITER' },
    },
  ],
  ...over,
});

async function endOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'OK';
  } catch (error) {
    return error instanceof Refusal ? error.status : String(error);
  }
}

describe('a volume that is asked for', () => {
  it('is made once, and answered the same again', async () => {
    const { cluster, calls } = newController();
    const first = await calls.CreateVolume(createRequest(), scope);
    expect(first.volume).toMatchObject({
      ...{ capacityBytes: String(8 * MIB), volumeContext: { fsType: 'ext4' } },
    });
    expect(await calls.CreateVolume(createRequest(), scope)).toEqual(first);
    expect(cluster.volumes).toHaveLength(1);
  });

  it.each([
    ['another size', { capacityRange: { requiredBytes: String(9 * MIB), limitBytes: '0' } }],
    ['a source', { volumeContentSource: { volume: { volumeId: 'vol-000000000009' } } }],
    ['another image', { parameters: { image: 'debian' } }],
    ['another file system', { volumeCapabilities: [], parameters: { fsType: 'xfs' } }],
  ])('is refused where there is one with %s', async (_what, over) => {
    const { calls } = newController();
    await calls.CreateVolume(createRequest(), scope);
    const capabilities = [{ block: {}, accessMode: { mode: 'SINGLE_NODE_WRITER' } }];
    const given =
      'volumeCapabilities' in over ? { ...over, volumeCapabilities: capabilities } : over;
    expect(await endOf(calls.CreateVolume(createRequest(given), scope))).toBe('ALREADY_EXISTS');
  });

  it('is waited for where another call makes it, also one that is first by a moment', async () => {
    const { cluster, calls } = newController();
    const labels = { 'csi-name': 'pvc-1', 'csi-fs-type': 'ext4' };
    cluster.before['volume.create'] = () =>
      void cluster.add({
        ...{ name: 'pvc-1', sizeBytes: 8 * MIB, state: 'creating', operation: 'op-1', labels },
      });
    const { volume } = await calls.CreateVolume(createRequest(), scope);
    expect(volume.volumeId).toBe(cluster.volumes[0]?.id);
    expect(cluster.asked).toContain('operation.wait');
  });

  it('that is not there any more is deleted, and one with snapshots is not', async () => {
    const { cluster, calls } = newController();
    for (const volumeId of ['vol-000000000009', 'no such id', 'x/y'])
      expect(await endOf(calls.DeleteVolume({ volumeId }, scope))).toBe('OK');
    expect(cluster.asked).not.toContain('volume.delete');
    const { id: volumeId } = cluster.add({});
    cluster.snapshots = [{ id: 'snap-000000000001', volume: volumeId, name: 's', user: true }];
    expect(await endOf(calls.DeleteVolume({ volumeId }, scope))).toBe('FAILED_PRECONDITION');
    cluster.snapshots = [];
    expect(await endOf(calls.DeleteVolume({ volumeId }, scope))).toBe('OK');
    expect(cluster.asked).toContain('volume.delete');
  });
});

describe('a volume that is to be used', () => {
  const request = (volumeId: string, nodeId: string) => ({
    ...{ volumeId, nodeId, readonly: false, volumeContext: {} },
    volumeCapability: createRequest().volumeCapabilities[0] ?? null,
  });

  it('is attached where it is asked for, and there alone', async () => {
    const { cluster, calls } = newController();
    const { id } = cluster.add({});
    const publish = (nodeId: string): Promise<string> =>
      endOf(calls.ControllerPublishVolume(request(id, nodeId), scope));
    expect([await publish('n1'), await publish('n1')]).toEqual(['OK', 'OK']);
    expect(cluster.asked.filter((name) => name === 'volume.attach')).toHaveLength(1);
    expect(await publish('n2')).toBe('FAILED_PRECONDITION');
    expect(await publish('NO NODE')).toBe('NOT_FOUND');
    // Where it is not used nothing is taken away.
    await calls.ControllerUnpublishVolume({ volumeId: id, nodeId: 'n2' }, scope);
    expect(cluster.asked).not.toContain('volume.detach');
    await calls.ControllerUnpublishVolume({ volumeId: id, nodeId: '' }, scope);
    expect(cluster.asked).toContain('volume.detach');
    const gone = { volumeId: 'vol-000000000009', nodeId: 'n1' };
    expect(await endOf(calls.ControllerUnpublishVolume(gone, scope))).toBe('OK');
  });
});

describe('a snapshot that is asked for', () => {
  it('is told from one of that name of another volume', async () => {
    const { cluster, calls } = newController();
    const [one, other] = [cluster.add({ name: 'a' }), cluster.add({ name: 'b' })];
    cluster.snapshots = [{ id: 'snap-000000000001', volume: one.id, name: 's', user: true }];
    const create = (sourceVolumeId: string): Promise<string> =>
      endOf(calls.CreateSnapshot({ sourceVolumeId, name: 's', parameters: {} }, scope));
    expect(await create(other.id)).toBe('ALREADY_EXISTS');
    expect(await create('vol-000000000009')).toBe('NOT_FOUND');
    const found = await calls.GetSnapshot({ snapshotId: `${one.id}/snap-000000000001` }, scope);
    expect(found.snapshot).toMatchObject({
      ...{ sourceVolumeId: one.id, creationTime: { seconds: '1767225600', nanos: 500_000_000 } },
    });
    expect(await endOf(calls.GetSnapshot({ snapshotId: 'x' }, scope))).toBe('NOT_FOUND');
    expect(await endOf(calls.DeleteSnapshot({ snapshotId: 'x' }, scope))).toBe('OK');
  });
});
