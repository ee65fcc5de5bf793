import 'reflect-metadata';
import { nodeHostNqn } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Fixture, newContext } from '../testing/fixture.js';
import { COPY, SIZE_BYTES, ImageNode } from '../testing/image-node.js';

let at: ImageNode;
let node: Fixture;
let { create, seal, replica } = {} as ImageNode;

beforeEach(async () => {
  at = await ImageNode.open();
  ({ node, create, seal, replica } = at);
});
afterEach(() => at.close());

describe('a replica with an image', () => {
  test('starts as a clone of the sealed copy on its disk, as large as its volume', async () => {
    await create();
    const { lvolUuid: parent } = await seal();
    const { lvolUuid } = await replica();
    expect(node.target.lvols.get(lvolUuid)).toMatchObject({
      ...{ parent, name: 'rep-a', sizeMib: (2 * SIZE_BYTES) / MIB, isSnapshot: false },
    });
    expect(await replica()).toEqual({ lvolUuid });
    expect(node.lvols.recordOf('rep-a', 'head')?.params.sizeBytes).toBe(2 * SIZE_BYTES);
  });

  test('is refused while the copy is not there, is not sealed, or is too large', async () => {
    await expect(replica()).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_FOUND' });
    await create();
    await expect(replica()).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_SEALED' });
    const { lvolUuid } = await seal();
    await expect(replica(SIZE_BYTES - MIB)).rejects.toMatchObject({ code: 'SIZE_TOO_SMALL' });
    node.target.lvols.delete(lvolUuid);
    await expect(replica()).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_FOUND' });
    expect([node.target.lvols.size, node.journal.ownedBy('rep-a')]).toEqual([0, []]);
  });

  const scratch = (parent: string | null, image: string | null = COPY.image) =>
    node.handlers['rebuild.create-scratch'](
      {
        ...{ replica: 'rep-b', volume: 'vol-1', disk: COPY.disk, sizeBytes: 2 * SIZE_BYTES },
        ...{ parent, image, hostNqn: nodeHostNqn('n1') },
      },
      newContext(),
    );
  const freeze = (snapshot: string) =>
    node.handlers['rebuild.freeze-scratch'](
      { replica: 'rep-b', volume: 'vol-1', snapshot },
      newContext(),
    );
  const copy = (snapshot: string, parent: string | null, image: string | null) =>
    node.handlers['rebuild.copy-snapshot'](
      {
        ...{ replica: 'rep-a', volume: 'vol-1', snapshot, parent, image },
        scratch: {
          ...{ nqn: 'nqn.2026-11.io.lariat:scratch:rep-b', traddr: '127.0.0.1', trsvcid: '1' },
          uuid: node.lvols.recordOf('rep-b', 'scratch')?.uuid ?? '',
        },
      },
      newContext(),
    );
  const snap = (snapshot: string) =>
    node.handlers['snapshot.create']({ replica: 'rep-a', volume: 'vol-1', snapshot }, newContext());

  test('is rebuilt onto the copy of its image, of which nothing is copied', async () => {
    await create();
    const { lvolUuid: image } = await seal();
    await replica();
    for (const snapshot of ['s1', 's2']) await snap(snapshot);
    await scratch(null);
    await scratch(null);
    await copy('s1', null, COPY.image);
    const { lvolUuid: s1 } = await freeze('s1');
    await scratch('s1');
    await copy('s2', 's1', COPY.image);
    const { lvolUuid: s2 } = await freeze('s2');
    expect(node.target.copied).toEqual(['rep-a.s1', 'rep-a.s2']);
    expect(node.target.lvols.get(s1)).toMatchObject({ parent: image, sizeMib: 8 });
    expect(node.target.lvols.get(s2)).toMatchObject({ parent: s1 });
  });

  test('is not rebuilt where there is no copy: that is fetched first', async () => {
    await expect(scratch(null)).rejects.toMatchObject({
      code: 'IMAGE_COPY_NOT_FOUND',
      message: expect.stringContaining('fetch it') as unknown,
    });
    await create();
    await expect(scratch(null)).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_SEALED' });
    expect(node.journal.ownedBy('rep-b')).toEqual([]);
  });

  test('is copied whole where the source does not stand on the image, for its zeros are not there', async () => {
    await create();
    await seal();
    await node.handlers['replica.create'](
      { replica: 'rep-a', volume: 'vol-1', disk: COPY.disk, sizeBytes: 2 * SIZE_BYTES },
      newContext(),
    );
    await snap('s1');
    await scratch(null);
    await expect(copy('s1', null, COPY.image)).rejects.toMatchObject({ code: 'IMAGE_NOT_BENEATH' });
    await scratch(null, null);
    await copy('s1', null, null);
    const { lvolUuid } = await freeze('s1');
    expect(node.target.copied).toEqual(['rep-a.s1']);
    expect(node.target.lvols.get(lvolUuid)).toMatchObject({ parent: null });
  });

  test('on the image, copied without it, brings the clusters of the image along', async () => {
    await create();
    await seal();
    await replica();
    await snap('s1');
    await scratch(null, null);
    await copy('s1', null, null);
    expect(node.target.copied).toEqual([COPY.image, 'rep-a.s1']);
  });
});
