import {
  type CommandMap,
  type CommandName,
  DEFAULT_PLACEMENT,
  type ErrorCode,
  type SnapshotRecord,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { MIB, toLariatError } from '@lariat/kernel';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { attachedVolume } from '../domain/volume.test-support.js';
import type { RebuildDeps, RebuildMemory } from './rebuild-memory.js';
import { rebuildReplicaSaga } from './rebuild-replica.saga.js';

const snapshot = (id: string, parent: string | null): SnapshotRecord => ({
  ...{ id, parent, name: id, sizeBytes: MIB, createdAt: '', user: true },
});

describe('a rebuild of a volume that stands on an image', () => {
  let record: VolumeRecord;
  let memory: Partial<RebuildMemory>;
  let sent: { readonly name: CommandName; readonly input: object }[];
  /** What is refused, and how often. */
  let refusals: Map<string, ErrorCode[]>;
  let fetched: object[];
  let shown: string[];
  let placed: { image?: object } | undefined;

  beforeEach(() => {
    record = attachedVolume({
      image: 'img-1',
      // Two trees: the volume was reverted to what it was before its first snapshot.
      snapshots: [snapshot('s1', null), snapshot('s2', 's1'), snapshot('s3', null)],
    });
    memory = {
      source: { id: 'r1', node: 'n1', disk: 'd1' },
      target: { id: 'r9', node: 'n9', disk: 'd9' },
    };
    sent = [];
    refusals = new Map();
    fetched = [];
    shown = [];
    placed = undefined;
  });

  function meet(what: string): void {
    const code = refusals.get(what)?.shift();
    if (code !== undefined) throw lariatError(code, 'as the test says');
  }

  const request = (name: string, body: object): unknown => {
    if (name === 'node.get') return { state: 'ready' };
    if (name === 'internal.volume.change') return record;
    meet(name);
    if (name === 'internal.image.ensure-copies') fetched.push(body);
    if (name !== 'internal.image.record') return { ready: true };
    return {
      copies: [
        { disk: 'd5', state: 'ready' },
        { disk: 'd6', state: 'corrupt' },
      ],
    };
  };

  const deps = {
    volumes: { fresh: () => Promise.resolve(record) },
    allocator: {
      reserve: (asked: { image?: object }) => {
        placed = asked;
        return Promise.resolve([{ replica: 'r9', node: 'n9', disk: 'd9' }]);
      },
    },
    clock: { nowMs: () => 1 },
  } as unknown as RebuildDeps;

  async function run(...names: readonly string[]): Promise<string | null> {
    for (const step of rebuildReplicaSaga(deps).steps) {
      if (!names.includes(step.name)) continue;
      const context = {
        ...{ operation: 'op', attempt: 1, undoneFor: null, memory: { ...memory } },
        input: { volume: 'vol-1', replica: null },
        cancellation: new AbortController().signal,
        progress: (_done: number, _total: number, unit: string) => shown.push(unit),
        log: { info: () => undefined, warn: () => undefined },
        client: {
          connection: { subscribe: () => ({ unsubscribe: () => undefined }) },
          request: (name: string, body: object) =>
            Promise.resolve().then(() => request(name, body)),
        },
        command: (_node: string, name: CommandName, input: object) =>
          Promise.resolve().then(() => {
            sent.push({ name, input });
            meet(name);
            return name === 'rebuild.copy-snapshot' ? { copiedClusters: 2 } : { nqn: 'nqn' };
          }),
        checkpoint: (found: object) => Promise.resolve(void Object.assign(memory, found)),
      };
      try {
        Object.assign(memory, await step.run(context as never));
      } catch (error) {
        return toLariatError(error).code;
      }
    }
    return null;
  }

  /** Each copy that was made: of which snapshot, on which one, on which image. */
  const copies = (): readonly unknown[] =>
    sent.flatMap(({ name, input }) => {
      if (name !== 'rebuild.create-scratch') return [];
      const { parent, image } = input as CommandMap['rebuild.create-scratch']['input'];
      return [[parent, image]];
    });

  it('fetches it to the new disk, and copies onto it what no snapshot is beneath', async () => {
    expect(await run('fetch-image', 'copy')).toBeNull();
    expect(fetched).toEqual([
      { image: 'img-1', disks: [{ node: 'n9', disk: 'd9' }], volume: 'vol-1' },
    ]);
    expect(copies()).toEqual([
      [null, 'img-1'],
      [null, 'img-1'],
      ['s1', null],
    ]);
    const onto = sent.flatMap(({ name, input }) => {
      if (name !== 'rebuild.copy-snapshot') return [];
      const { parent, image } = input as CommandMap['rebuild.copy-snapshot']['input'];
      return [[parent, image]];
    });
    expect(onto).toEqual(copies());
    expect(memory).toMatchObject({ copied: ['s1', 's3', 's2'], copiedClusters: 6 });
  });

  it.each(['IMAGE_NOT_FOUND', 'IMAGE_NOT_READY', 'IMAGE_COPY_FAILED', 'NO_CAPACITY'] as const)(
    'copies all from the source when the image can not be had: %s',
    async (code) => {
      refusals.set('internal.image.ensure-copies', [code]);
      expect(await run('fetch-image', 'copy')).toBeNull();
      expect(copies()).toEqual([
        [null, null],
        [null, null],
        ['s1', null],
      ]);
    },
  );

  it('does so too where the source does not stand on it, and for all that is left, over a cut', async () => {
    refusals.set('rebuild.copy-snapshot', ['IMAGE_NOT_BENEATH', 'LEG_UNREACHABLE']);
    expect(await run('fetch-image', 'copy')).toBe('LEG_UNREACHABLE');
    expect(memory).toMatchObject({ image: null });
    expect(await run('copy')).toBeNull();
    expect(copies()).toEqual([
      [null, 'img-1'],
      [null, null],
      [null, null],
      [null, null],
      ['s1', null],
    ]);
    expect(memory).toMatchObject({ copied: ['s1', 's3', 's2'], copiedClusters: 6 });
  });

  it.each(['IMAGE_COPY_NOT_FOUND', 'IMAGE_COPY_NOT_SEALED'] as const)(
    'does so when the copy was given up meanwhile: %s',
    async (code) => {
      refusals.set('rebuild.create-scratch', [code]);
      expect(await run('fetch-image', 'copy')).toBeNull();
      expect(copies().slice(1)).toEqual([
        [null, null],
        [null, null],
        ['s1', null],
      ]);
    },
  );

  it('waits for whoever has the images, if need be in vain', async () => {
    refusals.set('internal.image.ensure-copies', ['SERVICE_UNAVAILABLE']);
    expect(await run('fetch-image')).toBe('SERVICE_UNAVAILABLE');
    expect(await run('fetch-image')).toBeNull();
    expect(memory).toMatchObject({ image: 'img-1' });
  });

  it('does not fetch it while rebuilds of the volume are paused', async () => {
    record = { ...record, rebuild: { paused: true, mibPerSecond: null } };
    const fetching = run('fetch-image');
    await vi.waitFor(() => expect(shown).toContain('paused by request'));
    expect(fetched).toEqual([]);
    record = { ...record, rebuild: { paused: false, mibPerSecond: null } };
    expect(await fetching).toBeNull();
    expect(fetched).toHaveLength(1);
  });

  it('needs none where a lost replica has all that stands on it, or makes it from its old head', async () => {
    memory = { ...memory, plan: { keep: ['s1'], patch: 's3' } };
    expect(await run('fetch-image')).toBeNull();
    expect(fetched).toEqual([]);
    memory = { ...memory, plan: { keep: ['s1'], patch: null } };
    expect(await run('fetch-image')).toBeNull();
    expect(fetched).toHaveLength(1);
  });

  it('is for a disk that has the image, if there is one, and asks for no room for another copy', async () => {
    memory = { ...memory, sizeBytes: MIB, others: [], placement: DEFAULT_PLACEMENT };
    expect(await run('place')).toBeNull();
    expect(placed?.image).toEqual({ id: 'img-1', disks: ['d5'], copyBytes: 0 });
    refusals.set('internal.image.record', ['SERVICE_UNAVAILABLE']);
    expect(await run('place')).toBeNull();
    expect(placed).not.toHaveProperty('image');
    record = { ...record, image: null };
    expect(await run('place', 'fetch-image')).toBeNull();
    expect(placed).not.toHaveProperty('image');
    expect(memory).toMatchObject({ image: null });
  });
});
