import 'reflect-metadata';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { context, fixture, tempDir, type Fixture } from '../testing/fixture.js';

const MIB = 1024 * 1024;
let dir: ReturnType<typeof tempDir>;
let node: Fixture;

beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path);
});
afterEach(async () => {
  await node.journal.close();
  dir.remove();
});

const scratch = (parent: string | null, sizeBytes = 8 * MIB) =>
  node.handlers['rebuild.create-scratch'](
    {
      replica: 'rep-a',
      volume: 'vol-1',
      disk: 'disk-1',
      sizeBytes,
      parent,
      hostNqn: 'nqn.2026-11.io.lariat:host',
    },
    context,
  );
const freeze = (snapshot: string) =>
  node.handlers['rebuild.freeze-scratch']({ replica: 'rep-a', volume: 'vol-1', snapshot }, context);
const lvolNamed = (name: string) => {
  const found = [...node.target.lvols.values()].find((lvol) => lvol.name === name);
  if (found === undefined) throw new Error(`there is no lvol ${name}`);
  return found;
};
const parentOf = (name: string): string | undefined =>
  node.target.lvols.get(lvolNamed(name).parent ?? '')?.name;

test('a tree of snapshots is copied as a tree', async () => {
  const tree = [
    ['one', null],
    ['two', 'one'],
    ['three', 'one'],
    ['four', null],
    ['five', 'two'],
  ] as const;
  for (const [snapshot, parent] of tree) {
    await scratch(parent);
    await freeze(snapshot);
  }
  for (const [snapshot, parent] of tree) {
    expect(parentOf(`rep-a.${snapshot}`)).toBe(parent === null ? undefined : `rep-a.${parent}`);
  }
});

test('what a chain needs is not made anew, and a lost answer is given again', async () => {
  await scratch(null);
  await freeze('one');
  const { uuid } = await scratch('one');
  expect((await scratch('one')).uuid).toBe(uuid);
  expect(
    [...node.target.lvols.values()].filter(({ name }) => name.endsWith('scratch')),
  ).toHaveLength(1);
});

test('a snapshot that was taken after an expand is copied whole', async () => {
  await scratch(null, 8 * MIB);
  await freeze('small');
  await scratch('small', 20 * MIB);
  await freeze('large');
  expect(lvolNamed('rep-a.small').sizeMib).toBe(8);
  expect(lvolNamed('rep-a.large').sizeMib).toBe(20);
  expect(node.lvols.recordOf('rep-a', 'snapshot', 'large')?.params.sizeBytes).toBe(20 * MIB);
});

test('a copy to a node that is gone says which path is down, and goes on once it is back', async () => {
  await scratch(null);
  await freeze('one');
  const nqn = 'nqn.2026-11.io.lariat:scratch:rep-b';
  const copy = () =>
    node.handlers['rebuild.copy-snapshot'](
      {
        ...{ replica: 'rep-a', volume: 'vol-1', snapshot: 'one', parent: null, image: null },
        scratch: { traddr: '127.0.0.1', trsvcid: '4420', nqn, uuid: 'scratch-uuid' },
      },
      context,
    );
  await expect(copy()).rejects.toMatchObject({ code: 'LEG_UNREACHABLE', details: { nqn } });
  node.target.reachable.set(nqn, 'scratch-uuid');
  expect(await copy()).toEqual({ copiedClusters: expect.any(Number) as number });
});
