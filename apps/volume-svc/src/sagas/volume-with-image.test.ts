import {
  type CommandMap,
  type CommandName,
  type ErrorCode,
  type VolumeChange,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { MIB, deriveVolumeId, toLariatError } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { applyVolumeChanges } from '../domain/apply-change.js';
import { newReplica, newVolumeRecord } from '../domain/volume-record.test-support.js';
import { cloneVolumeSaga } from './clone-volume.saga.js';
import { createVolumeSaga } from './create-volume.saga.js';
import type { SagaDeps } from './saga-deps.js';

const operation = 'op-1';
const volume = deriveVolumeId(operation);
const image = {
  ...{ id: 'img-1', name: 'debian', state: 'ready', sizeBytes: 2 * MIB },
  copies: [
    { node: 'n1', disk: 'disk-of-n1', state: 'ready' },
    { node: 'n3', disk: 'disk-of-n3', state: 'fetching' },
    { node: 'n2', disk: 'disk-of-n2', state: 'corrupt' },
  ],
};

let records: Map<string, VolumeRecord>;
/** Everything that was asked for, in order. */
let asked: { readonly what: string; readonly body: object }[];
/** What is refused, and how often. */
let refusals: Map<string, ErrorCode[]>;
let found: { state: string; sizeBytes: number; operation?: string | null };
/** From the second look on; undefined: the same. */
let laterFound: typeof found | undefined;

beforeEach(() => {
  records = new Map();
  asked = [];
  refusals = new Map();
  found = image;
  laterFound = undefined;
});

const of = (what: string): readonly object[] =>
  asked.filter((one) => one.what === what).map(({ body }) => body);

function meet(what: string, body: object): void {
  asked.push({ what, body });
  const code = refusals.get(what)?.shift();
  if (code !== undefined) throw lariatError(code, 'as the test says');
}

const existing = (id: string): VolumeRecord => {
  const record = records.get(id);
  if (record === undefined) throw lariatError('VOLUME_NOT_FOUND', 'There is none.');
  return record;
};

const deps = {
  clock: { nowMs: () => 1 },
  volumes: {
    read: (id: string) => {
      const value = records.get(id);
      return Promise.resolve(value === undefined ? undefined : { value, revision: 1 });
    },
    findFresh: (id: string) => Promise.resolve().then(() => ({ value: existing(id), revision: 1 })),
    create: (record: VolumeRecord) => {
      asked.push({ what: 'record', body: record });
      records.set(record.id, record);
      return Promise.resolve(record);
    },
    change: (
      id: string,
      by: string,
      decide: readonly VolumeChange[] | ((record: VolumeRecord) => readonly VolumeChange[]),
    ) =>
      Promise.resolve().then(() => {
        const changes = typeof decide === 'function' ? decide(existing(id)) : decide;
        records.set(id, applyVolumeChanges(existing(id), by, changes).record);
        return existing(id);
      }),
    tell: () => Promise.resolve(),
    remove: (id: string) => Promise.resolve(void records.delete(id)),
    names: {
      reserve: (_name: string, id: string) => Promise.resolve(id),
      release: () => Promise.resolve(void asked.push({ what: 'name released', body: {} })),
    },
  },
} as unknown as SagaDeps;

const answers: Readonly<Record<string, (body: never) => unknown>> = {
  'node.get': ({ node }: { node: string }) => ({ node, state: 'ready' }),
  'internal.image.record': () => {
    const now = found;
    found = laterFound ?? found;
    return now;
  },
  'internal.image.ensure-copies': () => ({ ready: true }),
  'internal.placement.release': () => ({}),
  'internal.placement.reserve': ({ replicas }: { replicas: readonly string[] }) => ({
    placements: replicas.map((replica, at) => {
      const node = `n${at + 1}`;
      return { replica, node, disk: `disk-of-${node}` };
    }),
  }),
};

/** Runs the saga as its runner does, without its retries; undone when a step fails. Answers the code of the failure. */
async function run(kind: 'create' | 'clone', input: object): Promise<string | null> {
  const saga = kind === 'create' ? createVolumeSaga(deps) : cloneVolumeSaga(deps);
  const memory: object = {};
  const context = {
    ...{ operation, actor: 'test', attempt: 1, input, memory, undoneFor: null },
    cancellation: new AbortController().signal,
    log: { info: () => undefined, warn: () => undefined },
    progress: () => undefined,
    client: {
      connection: { subscribe: () => ({ unsubscribe: () => undefined }) },
      request: (name: string, body: object) =>
        Promise.resolve().then(() => {
          if (name !== 'node.get') meet(name, body);
          return answers[name]?.(body as never);
        }),
    },
    command: (node: string, name: CommandName, body: object) =>
      Promise.resolve().then(() => {
        meet(name, { node, ...body });
        return name === 'rebuild.create-scratch' ? { nqn: 'nqn' } : { lvolUuid: `on ${node}` };
      }),
    checkpoint: (told: object) => Promise.resolve(void Object.assign(memory, told)),
  };
  for (const [at, step] of saga.steps.entries()) {
    try {
      Object.assign(memory, await step.run(context as never));
    } catch (error) {
      for (const done of saga.steps.slice(0, at + 1).toReversed())
        await done.undo?.(context as never);
      return toLariatError(error).code;
    }
  }
  return null;
}

const wanted = {
  ...{ name: 'v1', sizeBytes: 3 * MIB, replicas: 2, labels: {}, qos: null },
  placement: { node: 'hard', zone: 'soft', disk: 'soft', nodeTags: [], diskTags: [] },
};

describe('a volume made from an image', () => {
  const input = { ...wanted, image: 'img-1' };

  it('names it from its first write on, has copies where it is placed, and then replicas that stand on them', async () => {
    expect(await run('create', input)).toBeNull();
    expect(asked.map(({ what }) => what)).toEqual([
      'internal.image.record',
      'internal.placement.reserve',
      'record',
      'internal.image.ensure-copies',
      'replica.create',
      'replica.create',
    ]);
    expect(of('internal.placement.reserve')).toMatchObject([
      { image: { disks: ['disk-of-n1', 'disk-of-n3'], copyBytes: 2 * MIB } },
    ]);
    expect(of('record')).toMatchObject([{ image: 'img-1', content: { state: 'foreign' } }]);
    expect(of('internal.image.ensure-copies')).toEqual([
      {
        ...{ image: 'img-1', volume },
        disks: ['n1', 'n2'].map((node) => ({ node, disk: `disk-of-${node}` })),
      },
    ]);
    for (const made of of('replica.create')) expect(made).toMatchObject({ image: 'img-1' });
    expect(records.get(volume)).toMatchObject({ image: 'img-1', state: 'detached' });
  });

  it.each([
    ['IMAGE_NOT_FOUND', 'internal.image.record'],
    ['IMAGE_NOT_FOUND', 'internal.image.ensure-copies'],
    ['IMAGE_COPY_FAILED', 'internal.image.ensure-copies'],
    ['NO_CAPACITY', 'internal.image.ensure-copies'],
    ['TARGET_REFUSED', 'replica.create'],
  ] as const)('ends with %s of %s, and leaves nothing', async (code, what) => {
    refusals.set(what, [code]);
    expect(await run('create', input)).toBe(code);
    expect(records.size).toBe(0);
    expect(of('name released')).toHaveLength(1);
    expect(of('internal.placement.release')).toHaveLength(1);
    expect(of('replica.delete')).toHaveLength(what === 'replica.create' ? 2 : 0);
  });

  it('is refused when the image has been deleted, or grown too large, since it was asked for', async () => {
    found = { ...image, state: 'deleting' };
    expect(await run('create', input)).toBe('IMAGE_NOT_READY');
    found = { ...image, sizeBytes: 4 * MIB };
    expect(await run('create', input)).toBe('SIZE_TOO_SMALL');
    expect(of('internal.placement.reserve')).toEqual([]);
  });

  it('waits for a deletion that has begun, and will be refused or not, before it gives up', async () => {
    // Marked when the copies are asked for, after the volume was placed.
    refusals.set('internal.image.ensure-copies', ['IMAGE_NOT_READY']);
    laterFound = { ...image, state: 'deleting', operation: 'op-2' };
    expect(await run('create', input)).toBe('OPERATION_IN_PROGRESS');
  });

  it('tries again when that deletion was refused by the time that it is looked at, and not for one that nobody carries out', async () => {
    refusals.set('internal.image.ensure-copies', ['IMAGE_NOT_READY']);
    expect(await run('create', input)).toBe('OPERATION_IN_PROGRESS');
    refusals.set('internal.image.ensure-copies', ['IMAGE_NOT_READY']);
    laterFound = { ...image, state: 'deleting', operation: null };
    expect(await run('create', input)).toBe('IMAGE_NOT_READY');
    expect(records.size).toBe(0);
  });

  it('asks once more for a copy that was given up before a replica stood on it', async () => {
    refusals.set('replica.create', ['IMAGE_COPY_NOT_FOUND']);
    expect(await run('create', input)).toBeNull();
    expect(of('replica.create')).toHaveLength(3);
    expect(of('internal.image.ensure-copies')[1]).toMatchObject({
      disks: [{ node: 'n1', disk: 'disk-of-n1' }],
    });
  });

  it('is none where none is asked for', async () => {
    expect(await run('create', { ...wanted, image: null })).toBeNull();
    expect(asked.map(({ what }) => what).filter((what) => what.includes('image'))).toEqual([]);
    expect(of('record')).toMatchObject([{ image: null, content: { state: 'blank' } }]);
    for (const made of of('replica.create')) expect(made).not.toHaveProperty('image');
  });
});

describe('a clone of a volume that stands on an image', () => {
  const input = { ...wanted, source: { volume: 'vol-source', snapshot: 'snap-2' } };
  const scratches = (): readonly Partial<CommandMap['rebuild.create-scratch']['input']>[] =>
    of('rebuild.create-scratch');
  const copies = (): readonly Partial<CommandMap['rebuild.copy-snapshot']['input']>[] =>
    of('rebuild.copy-snapshot');

  beforeEach(() => {
    const snapshot = { name: 's', sizeBytes: 3 * MIB, createdAt: '', user: true };
    records.set(
      'vol-source',
      newVolumeRecord({
        ...{ id: 'vol-source', image: 'img-1', content: { state: 'foreign' } },
        replicas: [newReplica('r1', 'n1')],
        snapshots: [
          { ...snapshot, id: 'snap-1', parent: null },
          { ...snapshot, id: 'snap-2', parent: 'snap-1' },
        ],
      }),
    );
  });

  it('uses the image too; a replica that is copied stands on it, by its lowest snapshot', async () => {
    expect(await run('clone', input)).toBeNull();
    expect(of('record')).toMatchObject([{ image: 'img-1', content: { state: 'foreign' } }]);
    // No room is asked for a copy: what is cloned needs none, and what is copied can do without.
    expect(of('internal.placement.reserve')).toMatchObject([
      { preferDisks: ['disk-of-n1'], image: { copyBytes: 0 } },
    ]);
    expect(of('replica.clone')).toHaveLength(1);
    expect(of('internal.image.ensure-copies')).toMatchObject([
      { disks: [{ node: 'n2', disk: 'disk-of-n2' }] },
    ]);
    expect(scratches()).toMatchObject([{ parent: null, image: 'img-1' }]);
    expect(copies().map(({ snapshot, image: onto }) => [snapshot, onto])).toEqual([
      ['snap-1', 'img-1'],
      ['snap-2', null],
    ]);
  });

  it.each([
    ['IMAGE_NOT_FOUND', 'internal.image.ensure-copies'],
    ['NO_CAPACITY', 'internal.image.ensure-copies'],
    ['IMAGE_NOT_BENEATH', 'rebuild.copy-snapshot'],
    ['IMAGE_COPY_NOT_FOUND', 'rebuild.create-scratch'],
  ] as const)('is copied whole on %s of %s', async (code, what) => {
    refusals.set(what, [code]);
    expect(await run('clone', input)).toBeNull();
    expect(scratches().at(-1)).toMatchObject({ image: null });
    const last = copies().slice(-2);
    expect(last.map(({ snapshot, image: onto }) => [snapshot, onto])).toEqual([
      ['snap-1', null],
      ['snap-2', null],
    ]);
    expect(records.get(volume)).toMatchObject({ image: 'img-1', state: 'detached' });
  });

  it('asks for no image where all is cloned, or there is none', async () => {
    expect(await run('clone', { ...input, replicas: 1 })).toBeNull();
    expect(of('internal.image.ensure-copies')).toEqual([]);
    records.delete(volume);
    records.set('vol-source', { ...existing('vol-source'), image: null });
    asked.length = 0;
    expect(await run('clone', input)).toBeNull();
    expect(asked.map(({ what }) => what).filter((what) => what.includes('image'))).toEqual([]);
    expect(scratches()).toMatchObject([{ image: null }]);
  });
});
