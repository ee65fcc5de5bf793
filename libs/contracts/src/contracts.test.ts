import {
  newDiskId,
  newImageId,
  newReplicaId,
  newSnapshotId,
  newUuid,
  newVolumeId,
  toLariatError,
} from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { parseDto } from './dto/validation.js';
import { ERROR_KIND_BY_CODE, hasCode, lariatError } from './error-codes.js';
import {
  engineHostNqn,
  frontendHostNqn,
  imageCopyNqn,
  imageDraftNqn,
  imageFetchHostNqn,
  replicaNqn,
  scratchNqn,
  snapshotNqn,
  volumeNqn,
} from './nqn.js';
import { REQUEST_DTOS, type RequestName } from './requests.js';
import { STREAMS, eventSubject, requestSubject } from './subjects.js';
import { VOLUME_MACHINE, type VolumeRecord, robustnessOf } from './volume.js';

const MIB = 1024 ** 2;

function codeOf(name: RequestName, body: unknown): string {
  try {
    parseDto<object>(REQUEST_DTOS[name], body);
    return 'accepted';
  } catch (error) {
    return toLariatError(error).code;
  }
}

describe('requests', () => {
  const good: readonly [RequestName, object][] = [
    ['volume.create', { name: 'v1', sizeBytes: MIB }],
    ['volume.create', { name: 'v1', sizeBytes: MIB, replicas: 1, labels: { a: 'b' }, wait: false }],
    [
      'volume.create',
      { name: 'v1', sizeBytes: MIB, placement: { node: 'soft', diskTags: ['ssd', 'eu/west-1'] } },
    ],
    ['volume.create', { name: 'v1', source: { volume: 'v0' } }],
    ['image.create', { name: 'debian', source: { url: 'https://images/debian.qcow2' } }],
    [
      'image.create',
      {
        ...{ name: 'debian', source: { file: { path: '/srv/a.img', node: 'n1' } }, format: 'raw' },
        ...{ checksum: 'sha256:00', minimumCopies: 3, labels: { os: 'debian' }, wait: false },
      },
    ],
    [
      'image.create',
      {
        name: 'debian',
        source: { upload: { token: '0123456789abcdef', fileName: 'a b.img', sizeBytes: 12 } },
      },
    ],
    ['image.verify', { image: 'debian', mibPerSecond: 0 }],
    ['image.delete', { image: newImageId(), dryRun: true }],
    ['volume.create', { name: 'v1', image: 'debian' }],
    ['volume.create', { name: 'v1', image: newImageId(), sizeBytes: MIB }],
    [
      'internal.image.ensure-copies',
      {
        image: newImageId(),
        disks: [{ node: 'n1', disk: newDiskId() }],
        volume: newVolumeId(),
      },
    ],
    ['internal.image.idle-copies', {}],
    [
      'internal.image.evict-copies',
      { copies: [{ image: newImageId(), node: 'n1', disk: newDiskId() }] },
    ],
    [
      'internal.placement.promise-copy',
      { image: newImageId(), node: 'n1', disk: newDiskId(), sizeBytes: MIB },
    ],
    ['volume.create', { name: 'v1', source: { volume: 'v0', snapshot: 's1' }, sizeBytes: 2 * MIB }],
    ['volume.create', { name: 'v1', sizeBytes: MIB, qos: { rwIops: 5000, readMbps: 10 } }],
    ['snapshot.verify', { volume: 'v1', snapshot: 's1', repair: false }],
    ['volume.update', { volume: 'v1', replicas: 5 }],
    ['replica.move', { volume: 'v1', replica: newReplicaId(), toNode: 'n2', toDisk: 'd1' }],
    ['volume.update', { volume: 'v1', qos: { rwIops: null, rwMbps: 1 } }],
    ['node.update', { node: 'n1', tags: ['fast'], zone: 'rack-1', schedulable: false }],
    ['node.update', { node: 'n1', zone: null }],
    ['node.drain', { node: 'n1', atOnce: 2, dryRun: true, wait: false }],
    ['disk.remove', { node: 'n1', disk: 'd1', evacuate: true }],
    ['internal.image.leave-disk', { image: newImageId(), node: 'n1', disk: newDiskId() }],
    ['node.remove', { node: 'n1', acceptDataLoss: true, dryRun: true, wait: false }],
    ['orphan.list', { node: 'n1' }],
    ['orphan.delete', { orphan: 'orph-0123456789ab', dryRun: true, wait: false }],
    ['internal.node.claim-store', { node: 'n1', disk: newDiskId(), lvsUuid: 'u' }],
    ['disk.update', { node: 'n1', disk: 'd1', reservedBytes: 0, overProvisioningPercent: 150 }],
    ['disk.update', { node: 'n1', disk: 'd1', tags: null, schedulable: true }],
    ['volume.get', { volume: 'v1' }],
    ['cluster.recover', {}],
    ['cluster.recover', { dryRun: true, acceptDataLoss: ['v1'], wait: false }],
    ['volume.get', { volume: newVolumeId() }],
    ['volume.list', {}],
    ['volume.list', { limit: 100, cursor: 'WyJhIiwiYiJd', sort: 'size', descending: true }],
    ['volume.list', { state: 'attached', robustness: 'degraded', node: 'n1', labels: { a: 'b' } }],
    ['image.list', { state: 'ready', sort: 'created' }],
    ['node.list', { state: 'down', limit: 1 }],
    ['snapshot.list', { volume: 'v1', sort: 'name' }],
    ['operation.list', { state: 'stuck', kind: 'volume.create', limit: 10 }],
    ['volume.attach', { volume: 'v1', node: 'n1', frontend: 'nbd' }],
    ['volume.detach', { volume: 'v1' }],
    ['volume.expand', { volume: 'v1', sizeBytes: 2 * MIB }],
    ['volume.delete', { volume: 'v1', dryRun: true }],
    ['snapshot.create', { volume: 'v1', snapshot: 's1' }],
    ['snapshot.create-group', { volumes: ['v1', 'v2'], snapshot: 's1' }],
    ['replica.remove', { volume: 'v1', replica: newReplicaId(), dryRun: true }],
    ['replica.rebuild', { volume: 'v1' }],
    ['disk.add', { node: 'n1', path: '/dev/sdb' }],
    ['disk.add', { node: 'n1', path: '/dev/sdb', erase: true }],
    ['operation.wait', { operation: 'op-0123456789ab', timeoutMs: 1 }],
    [
      'internal.placement.reserve',
      { volume: newVolumeId(), replicas: [newReplicaId()], sizeBytes: MIB, excludeNodes: [] },
    ],
    [
      'internal.volume.change',
      {
        volume: newVolumeId(),
        operation: 'op-0123456789ab',
        changes: [{ type: 'claim', operation: 'o' }],
      },
    ],
  ];
  it.each(good)('%s takes %j', (name, body) => expect(codeOf(name, body)).toBe('accepted'));

  const bad: readonly [RequestName, unknown, string][] = [
    ['volume.create', [], 'REQUEST_MALFORMED'],
    ['volume.create', 'text', 'REQUEST_MALFORMED'],
    ['volume.create', null, 'REQUEST_MALFORMED'],
    ['volume.create', { sizeBytes: MIB }, 'NAME_INVALID'],
    ['volume.create', { name: '', sizeBytes: MIB }, 'NAME_INVALID'],
    ['volume.create', { name: 'x'.repeat(64), sizeBytes: MIB }, 'NAME_INVALID'],
    ['volume.create', { name: 'Not_A_Label', sizeBytes: MIB }, 'NAME_INVALID'],
    ['volume.create', { name: newVolumeId(), sizeBytes: MIB }, 'NAME_INVALID'],
    ['volume.create', { name: 'v1' }, 'SIZE_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: 0 }, 'SIZE_INVALID'],
    ['image.create', { name: 'debian' }, 'REQUEST_INVALID'],
    ['image.create', { name: newImageId(), source: { url: 'https://a' } }, 'NAME_INVALID'],
    [
      'image.create',
      { name: 'a', source: { url: 'https://a' }, format: 'vmdk' },
      'REQUEST_INVALID',
    ],
    ['image.create', { name: 'a', source: { ftp: 'a' } }, 'REQUEST_INVALID'],
    [
      'image.create',
      { name: 'a', source: { upload: { token: 'a.>', fileName: 'a', sizeBytes: 1 } } },
      'REQUEST_INVALID',
    ],
    [
      'image.create',
      { name: 'a', source: { url: 'https://a' }, minimumCopies: 9 },
      'REPLICAS_INVALID',
    ],
    ['image.verify', { image: 'debian', mibPerSecond: -1 }, 'REQUEST_INVALID'],
    ['volume.create', { name: 'v1', image: 'debian', sizeBytes: 0 }, 'SIZE_INVALID'],
    ['volume.create', { name: 'v1', image: 'No Label' }, 'NAME_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: -1 }, 'SIZE_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: 1.5 }, 'SIZE_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: '1048576' }, 'SIZE_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: 2 ** 53 }, 'SIZE_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: MIB, replicas: 0 }, 'REPLICAS_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: MIB, replicas: 99 }, 'REPLICAS_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: MIB, labels: { a: 1 } }, 'REQUEST_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: MIB, colour: 'red' }, 'REQUEST_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: MIB, wait: 'yes' }, 'REQUEST_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: MIB, placement: 'spread' }, 'REQUEST_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: MIB, placement: [] }, 'REQUEST_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: MIB, placement: { node: 'x' } }, 'REQUEST_INVALID'],
    ['volume.create', { name: 'v1', sizeBytes: MIB, placement: { rack: 1 } }, 'REQUEST_INVALID'],
    [
      'volume.create',
      { name: 'v1', sizeBytes: MIB, placement: { nodeTags: ['a b'] } },
      'REQUEST_INVALID',
    ],
    ['node.update', { node: 'n1', tags: 'fast' }, 'REQUEST_INVALID'],
    ['node.update', { node: 'n1', zone: 'No Zone' }, 'NAME_INVALID'],
    ['node.update', { node: 'n1', schedulable: 'no' }, 'REQUEST_INVALID'],
    ['node.drain', { node: 'n1', atOnce: 0 }, 'REQUEST_INVALID'],
    ['disk.remove', { node: 'n1', disk: 'd1', evacuate: 'yes' }, 'REQUEST_INVALID'],
    ['node.remove', { node: 'n1', acceptDataLoss: 'yes' }, 'REQUEST_INVALID'],
    ['orphan.list', { node: 'No Node' }, 'NAME_INVALID'],
    ['volume.list', { limit: 0 }, 'REQUEST_INVALID'],
    ['volume.list', { limit: 1_001 }, 'REQUEST_INVALID'],
    ['volume.list', { cursor: 'not a cursor' }, 'CURSOR_INVALID'],
    ['volume.list', { sort: 'color' }, 'SORT_INVALID'],
    ['volume.list', { state: 'happy' }, 'REQUEST_INVALID'],
    ['node.list', { sort: 'name' }, 'REQUEST_INVALID'],
    ['operation.list', { kind: 'everything' }, 'REQUEST_INVALID'],
    ['orphan.delete', {}, 'NAME_INVALID'],
    ['orphan.delete', { orphan: 'orph-0123456789ab', dryRun: 1 }, 'REQUEST_INVALID'],
    ['disk.update', { node: 'n1', disk: 'd1', reservedBytes: -1 }, 'REQUEST_INVALID'],
    ['disk.update', { node: 'n1', disk: 'd1', overProvisioningPercent: 0 }, 'REQUEST_INVALID'],
    ['disk.update', { node: 'n1', disk: 'd1', overProvisioningPercent: 1.5 }, 'REQUEST_INVALID'],
    ['disk.update', { node: 'n1' }, 'NAME_INVALID'],
    ['disk.add', { node: 'n1', path: '/d', tags: ['-'] }, 'REQUEST_INVALID'],
    ['rebuild.update', { volume: 'v1', mibPerSecond: -1 }, 'REQUEST_INVALID'],
    ['rebuild.update', { volume: 'v1', mibPerSecond: 1.5 }, 'REQUEST_INVALID'],
    ['rebuild.update', { volume: 'v1', paused: 'yes' }, 'REQUEST_INVALID'],
    ['volume.get', {}, 'NAME_INVALID'],
    ['cluster.recover', { dryRun: 'yes' }, 'REQUEST_INVALID'],
    ['cluster.recover', { acceptDataLoss: 'v1' }, 'REQUEST_INVALID'],
    ['cluster.recover', { acceptDataLoss: [1] }, 'REQUEST_INVALID'],
    ['volume.attach', { volume: 'v1', node: 'n1', frontend: 'iscsi' }, 'FRONTEND_INVALID'],
    ['disk.add', { node: 'n1', path: 'relative' }, 'REQUEST_INVALID'],
    ['disk.add', { node: 'n1', path: '/dev/sdb', erase: 'yes' }, 'REQUEST_INVALID'],
    ['operation.wait', { operation: 'op', timeoutMs: 0 }, 'REQUEST_INVALID'],
    [
      'internal.volume.change',
      { volume: 'v', operation: 'o', changes: [{ type: 'explode' }] },
      'REQUEST_INVALID',
    ],
    ['internal.node.register', { name: 'n1' }, 'REQUEST_INVALID'],
  ];
  it.each(bad)('%s refuses %j with %s', (name, body, code) =>
    expect(codeOf(name, body)).toBe(code),
  );

  it('are in no stream, which would answer them itself', () => {
    const captures = (filter: string, subject: string): boolean =>
      new RegExp(
        `^${filter.replaceAll('.', '\\.').replaceAll('*', '[^.]+').replace('>', '.+')}$`,
      ).test(subject);
    const filters = Object.values(STREAMS).flatMap(({ subjects }) => [...subjects]);
    expect(filters.some((filter) => captures(filter, eventSubject('volume', 'x', 'y')))).toBe(true);
    const captured = Object.keys(REQUEST_DTOS).filter((name) =>
      filters.some((filter) => captures(filter, requestSubject(name))),
    );
    expect(captured).toEqual([]);
  });

  it('names the field that is wrong', () => {
    expect(() => parseDto(REQUEST_DTOS['volume.create'], { name: 'v1', sizeBytes: -1 })).toThrow(
      /sizeBytes must be/,
    );
  });
});

describe('errors', () => {
  it('get their kind from their code', () => {
    for (const [code, kind] of Object.entries(ERROR_KIND_BY_CODE)) {
      const error = lariatError(code as keyof typeof ERROR_KIND_BY_CODE, 'words');
      expect(error.kind).toBe(kind);
      expect(hasCode(error, code as keyof typeof ERROR_KIND_BY_CODE)).toBe(true);
    }
  });
});

describe('names on the wire', () => {
  it('stay within the limits of NVMe and SPDK', () => {
    const [volume, replica, snapshot] = [newVolumeId(), newReplicaId(), newSnapshotId()];
    const nqns = [
      volumeNqn(volume),
      replicaNqn(replica),
      snapshotNqn(replica, snapshot),
      scratchNqn(replica),
      engineHostNqn(volume, Number.MAX_SAFE_INTEGER),
      frontendHostNqn(volume, Number.MAX_SAFE_INTEGER),
      imageDraftNqn(newUuid()),
      imageCopyNqn(newUuid()),
      imageFetchHostNqn(newImageId(), newDiskId()),
    ];
    expect(nqns.every((nqn) => nqn.length <= 223)).toBe(true);
    expect(`${replica}.${snapshot}`.length).toBeLessThanOrEqual(63);
    // A new epoch is a new host: that is what fences the old one.
    expect(engineHostNqn(volume, 1)).not.toBe(engineHostNqn(volume, 2));
  });
});

describe('a volume', () => {
  it('is deleted only when it is not attached', () => {
    expect(VOLUME_MACHINE.can('attached', 'delete')).toBe(false);
    expect(VOLUME_MACHINE.can('detached', 'delete')).toBe(true);
    expect(Object.keys(VOLUME_MACHINE.table.deleting)).toEqual([]);
  });

  it.each([
    ['detached', ['RW', 'RW'], 2, 'healthy'],
    ['attached', ['RW', 'ERR'], 2, 'degraded'],
    ['attached', ['RW', 'WO'], 2, 'degraded'],
    ['attached', ['ERR', 'ERR'], 2, 'faulted'],
    ['creating', ['WO', 'WO'], 2, 'unknown'],
  ] as const)('%s with %j of %i is %s', (state, modes, replicaCount, expected) => {
    const replicas = modes.map((mode, index) => ({
      id: String(index),
      mode,
    })) as unknown as VolumeRecord['replicas'];
    expect(robustnessOf({ state, replicas, replicaCount })).toBe(expected);
  });
});
