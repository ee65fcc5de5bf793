import type { Frontend, FrontendOffer, VolumeView } from '@lariat/contracts';
import { GIB, MIB, isDnsLabel } from '@lariat/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assertAccess } from './access.js';
import { capacityOf } from './capacity.js';
import { chooseFrontend } from './choose-frontend.js';
import { lariatNameOf, partsOfSnapshotId, snapshotIdOf } from './csi-name.js';
import { pageOf } from './page.js';
import { classParametersOf, mutableParametersOf } from './parameters.js';
import { Refusal } from './refusal.js';
import { isInRange, parseRange, sizeIn } from './size-range.js';
import { conditionOf, differenceOf, labelsOf } from './volume-answer.js';

function statusOf(run: () => unknown): string {
  try {
    run();
    return 'OK';
  } catch (error) {
    return error instanceof Refusal ? error.status : String(error);
  }
}

const range = (requiredBytes: number | string, limitBytes: number | string = 0) =>
  parseRange({ requiredBytes: String(requiredBytes), limitBytes: String(limitBytes) });

describe('a name', () => {
  it('is kept where it is one of ours, and else replaced by one that follows from it', () => {
    expect(lariatNameOf('pvc-8a1f')).toBe('pvc-8a1f');
    const long = 'x'.repeat(128);
    expect(isDnsLabel(lariatNameOf(long))).toBe(true);
    expect(lariatNameOf(long)).toBe(lariatNameOf(long));
    expect(lariatNameOf(long)).not.toBe(lariatNameOf('x'.repeat(127)));
    // Else `{volume: <name or id>}` would mean another volume.
    expect(lariatNameOf('vol-0123456789ab')).toMatch(/^csi-/);
    for (const bad of ['x'.repeat(129), 'a\nb'])
      expect(statusOf(() => lariatNameOf(bad))).toBe('INVALID_ARGUMENT');
  });

  it('of a snapshot is found again in its id, and no other text has one', () => {
    const id = snapshotIdOf('vol-0123456789ab', 'snap-0123456789ab');
    expect(partsOfSnapshotId(id)).toEqual({
      ...{ volume: 'vol-0123456789ab', snapshot: 'snap-0123456789ab' },
    });
    for (const bad of ['', 'x', 'a/b', `${id}/x`, 'non-existing-id'])
      expect(partsOfSnapshotId(bad)).toBeUndefined();
  });
});

describe('a size', () => {
  it.each([
    [1, 0, MIB],
    [MIB + 1, 0, 2 * MIB],
    [0, 0, GIB],
    [0, 3 * MIB + 5, 3 * MIB],
    [0, 5 * GIB, GIB],
  ])('from %i to %i is %i', (required, limit, sizeBytes) => {
    expect(sizeIn(range(required, limit))).toBe(sizeBytes);
  });

  it('is out of range when no whole cluster is in it, or it is larger than any volume', () => {
    expect(statusOf(() => sizeIn(range(MIB + 1, MIB + 2)))).toBe('OUT_OF_RANGE');
    expect(statusOf(() => sizeIn(range(0, 5)))).toBe('OUT_OF_RANGE');
    expect(statusOf(() => sizeIn(range('9223372036854775807')))).toBe('OUT_OF_RANGE');
    expect(statusOf(() => sizeIn(range(0, MIB), BigInt(2 * MIB)))).toBe('OUT_OF_RANGE');
    for (const [required, limit] of [
      [2, 1],
      [-1, 0],
    ] as const)
      expect(statusOf(() => range(required, limit))).toBe('INVALID_ARGUMENT');
  });

  it('that is chosen is in its range', () => {
    const bytes = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
    fc.assert(
      fc.property(bytes, bytes, (one, other) => {
        const [requiredBytes, limitBytes] = one < other ? [one, other] : [other, one];
        const asked = parseRange({
          ...{ requiredBytes: String(requiredBytes), limitBytes: String(limitBytes) },
        });
        let sizeBytes = 0;
        const status = statusOf(() => {
          sizeBytes = sizeIn(asked);
        });
        const isRight = status === 'OK' ? isInRange(sizeBytes, asked) : status === 'OUT_OF_RANGE';
        expect(isRight).toBe(true);
      }),
    );
  });
});

describe('a listing', () => {
  it('has each entry that stays on exactly one page, whatever comes and goes between the pages', () => {
    const ids = fc.uniqueArray(fc.integer({ min: 0, max: 40 }).map((n) => `id-${100 + n}`));
    fc.assert(
      fc.property(ids, ids, fc.integer({ min: 1, max: 5 }), (stays, changing, maxEntries) => {
        const seen: string[] = [];
        let startingToken = '';
        for (let page = 0; page === 0 || startingToken !== ''; page += 1) {
          const all = page % 2 === 0 ? stays : [...new Set([...changing, ...stays])];
          const { entries, nextToken } = pageOf(all, (id) => id, { maxEntries, startingToken });
          seen.push(...entries);
          startingToken = nextToken;
        }
        expect(new Set(seen).size).toBe(seen.length);
        for (const id of stays) expect(seen).toContain(id);
      }),
    );
  });

  it('is begun again after a token that is none', () => {
    const page = (startingToken: string, maxEntries = 0) =>
      statusOf(() => pageOf([], String, { maxEntries, startingToken }));
    expect(page('invalid-token')).toBe('ABORTED');
    expect(page('', -1)).toBe('INVALID_ARGUMENT');
  });
});

describe('the room that is left', () => {
  const node = (...availableBytes: number[]) => ({
    disks: availableBytes.map((bytes) => ({ schedulable: true, availableBytes: bytes * MIB })),
  });
  it.each([
    [[node(100), node(50), node(10)], 3, 10, 10],
    [[node(100), node(50), node(10)], 2, 60, 50],
    [[node(100), node(50), node(10)], 1, 160, 100],
    [[node(30, 30), node(40)], 2, 40, 30],
    [[node(100)], 2, 0, 0],
    [[], 1, 0, 0],
  ])('on %j for %i replicas is %i MiB, at most %i in one volume', (nodes, replicas, all, one) => {
    expect(capacityOf(nodes, replicas)).toEqual({
      availableBytes: BigInt(all * MIB),
      largestBytes: BigInt(one * MIB),
    });
  });

  it('is not on disks that take no replicas', () => {
    const closed = { disks: [{ schedulable: false, availableBytes: MIB }] };
    expect(capacityOf([closed], 1).largestBytes).toBe(0n);
  });
});

describe('what a class asks for', () => {
  it('is read, and refused where it has no meaning', () => {
    expect(classParametersOf({ replicas: '2', fsType: 'xfs', frontend: 'loop' })).toMatchObject({
      ...{ replicas: 2, fsType: 'xfs', frontend: 'loop' },
    });
    expect(classParametersOf({ 'csi.storage.k8s.io/fstype': 'ext4' }).fsType).toBe('ext4');
    expect(mutableParametersOf({ rwIops: '5000', readMbps: '0' }).qos).toEqual({
      ...{ rwIops: 5000, readMbps: null },
    });
    for (const bad of [{ replicas: '0' }, { replicas: '2.5' }, { fsType: 'ntfs' }, { speed: 'x' }])
      expect(statusOf(() => classParametersOf(bad))).toBe('INVALID_ARGUMENT');
    for (const bad of [{ rwIops: '-1' }, { image: 'debian' }, { replicas: '99' }])
      expect(statusOf(() => mutableParametersOf(bad))).toBe('INVALID_ARGUMENT');
  });

  it('is one node at a time, with a file system that can be made', () => {
    const mount = { fsType: 'ext4' };
    const mode = (name: string) => ({ accessMode: { mode: name } });
    const asked = [
      { mount, ...mode('SINGLE_NODE_WRITER') },
      { block: {}, ...mode('SINGLE_NODE_MULTI_WRITER') },
    ];
    expect(statusOf(() => assertAccess(asked))).toBe('OK');
    for (const bad of [
      { mount, ...mode('MULTI_NODE_MULTI_WRITER') },
      { mount: { fsType: 'ntfs' }, ...mode('SINGLE_NODE_WRITER') },
      { ...mode('SINGLE_NODE_WRITER') },
      { mount, accessMode: null },
    ])
      expect(statusOf(() => assertAccess([bad]))).toBe('INVALID_ARGUMENT');
    expect(statusOf(() => assertAccess([]))).toBe('INVALID_ARGUMENT');
  });

  it('is a frontend that the node has', () => {
    const node = (frontends: readonly FrontendOffer[]) => ({ name: 'n1', frontends });
    const offer = (frontend: Frontend, reason: string | null): FrontendOffer => ({
      ...{ frontend, reason, available: reason === null },
    });
    expect(chooseFrontend(node([offer('nvmf', null), offer('loop', null)]), undefined)).toBe(
      'loop',
    );
    expect(
      chooseFrontend(node([offer('kernel', 'no dmsetup'), offer('loop', null)]), undefined),
    ).toBe('loop');
    expect(chooseFrontend(node([offer('kernel', null), offer('loop', null)]), 'loop')).toBe('loop');
    const closed = (): unknown => chooseFrontend(node([offer('kernel', 'no dmsetup')]), undefined);
    expect(closed).toThrow(/kernel: no dmsetup/);
    expect(statusOf(closed)).toBe('FAILED_PRECONDITION');
  });
});

describe('an answer', () => {
  const asked = {
    ...{ name: 'v', source: undefined, fsType: 'ext4', frontend: undefined, image: undefined },
    encrypted: false,
  };
  const volume = {
    ...{ id: 'vol-1', labels: labelsOf(asked), robustness: 'degraded', replicaCount: 2 },
    replicas: [
      { node: 'n1', mode: 'RW', reason: null },
      { node: 'n2', mode: 'ERR', reason: 'its node is down' },
    ],
  } as unknown as VolumeView;

  it('tells a volume from one that was asked for with something else', () => {
    expect(differenceOf(volume, asked)).toBeUndefined();
    expect(differenceOf(volume, { ...asked, fsType: 'xfs' })).toMatch(/fs-type is 'ext4'/);
    const source = { kind: 'volume', id: 'vol-9' } as const;
    expect(differenceOf(volume, { ...asked, source })).toMatch(/source is none/);
    expect(differenceOf(volume, { ...asked, encrypted: true })).toMatch(/encrypted is none/);
  });

  it('says what is wrong with a volume, and nothing of one that is whole', () => {
    expect(conditionOf(volume)).toEqual({
      abnormal: true,
      message: 'degraded: 1 of 2 replicas hold all acknowledged writes; n2: its node is down',
    });
    expect(conditionOf({ ...volume, robustness: 'healthy' }).abnormal).toBe(false);
  });
});
