import {
  type CommandEnvelope,
  type ErrorCode,
  type ImageCopyReport,
  type ImageRecord,
  lariatError,
} from '@lariat/contracts';
import { MIB, ReconcileCounts } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { applyImageChanges } from '../domain/apply-change.js';
import { copyOn, imageRecord } from '../testing/image-record.js';
import type { CopyKeeperDeps } from './copy-repairs.js';
import { CloneCounts } from './clone-counts.js';
import { CopyEviction } from './evict-copies.js';
import { CopyKeeper } from './keep-copies.js';
import { CopySweep } from './sweep-copies.js';

const STRAY_MS = 5_000;
const EVICT_MS = 3_600_000;

describe('the keeper of copies', () => {
  let nowMs: number;
  let record: ImageRecord | undefined;
  let cached: ImageRecord | undefined;
  let isDeleted: boolean;
  let running: string[];
  let down: string[];
  let freeBytes: number;
  let refusal: ErrorCode | undefined;
  let whenRefused: () => void;
  let sent: string[];
  /** Where the records stood by which copies were deleted. */
  let decidedBy: unknown[];
  let released: string[];
  let spread: unknown[];
  let counts: ReconcileCounts;
  let keeperWith: (settings: object) => CopyKeeper;
  let keeper: CopyKeeper;
  let sweep: CopySweep;
  let clones: CloneCounts;
  let eviction: CopyEviction;

  beforeEach(() => {
    nowMs = Date.parse('2026-11-21T12:00:00Z');
    record = imageRecord();
    cached = undefined;
    isDeleted = false;
    [running, down, sent, released, spread] = [[], [], [], [], []];
    decidedBy = [];
    refusal = undefined;
    whenRefused = () => undefined;
    freeBytes = 32 * MIB;
    counts = new ReconcileCounts();
    const node = (name: string) => ({
      ...{ name, state: down.includes(name) ? 'down' : 'ready', schedulable: true },
      disks: [
        {
          ...{ id: `disk-of-${name}`, node: name, schedulable: true },
          ...{ allocatableBytes: 64 * MIB, scheduledBytes: 64 * MIB - freeBytes },
          availableBytes: freeBytes,
        },
      ],
    });
    const images = {
      cached: () => cached ?? record,
      read: () => Promise.resolve(record),
      list: () => (record === undefined ? [] : [record]),
      change: (_id: string, decide: Parameters<CopyKeeperDeps['images']['change']>[1]) => {
        if (record === undefined) throw new Error('there is no record');
        const changes = typeof decide === 'function' ? decide(record) : decide;
        record = applyImageChanges(record, changes).record;
        return Promise.resolve(record);
      },
      deleted: { has: () => Promise.resolve(isDeleted) },
    };
    const settings = {
      ...{ strayAfterMs: STRAY_MS, evictAfterMs: EVICT_MS, leastFreePercent: 10 },
      ...{ verifyEveryMs: 0, verifyMibPerSecond: 32 },
    };
    const deps = {
      images,
      operations: { running: () => running.map((subject) => ({ value: { subject } })) },
      runner: {
        start: ({ input }: { input: unknown }) => {
          spread.push(input);
          return Promise.resolve({});
        },
      },
      client: {
        request: (name: string, body: { disk?: string }) => {
          if (name === 'internal.placement.release-copy') released.push(body.disk ?? '');
          return Promise.resolve({ nodes: ['n1', 'n2', 'n3'].map(node) });
        },
      },
      commands: {
        send: (to: string, { command, input }: CommandEnvelope<'image.delete-copy'>) => {
          sent.push(`${command} ${input.disk} to ${to}`);
          decidedBy.push(input.record);
          if (refusal === undefined) return Promise.resolve({});
          const refused = lariatError(refusal, 'refused');
          whenRefused();
          return Promise.reject(refused);
        },
      },
      clock: { nowMs: () => nowMs, monotonicMs: () => nowMs },
      settings,
      log: { info: () => undefined, warn: () => undefined, debug: () => undefined },
      counts,
    };
    sweep = new CopySweep(deps as unknown as CopyKeeperDeps);
    clones = new CloneCounts();
    eviction = new CopyEviction(deps as unknown as CopyKeeperDeps, clones);
    keeperWith = (given) => {
      const changed = { ...deps, settings: { ...settings, ...given } };
      return new CopyKeeper(changed as unknown as CopyKeeperDeps, clones, eviction);
    };
    keeper = keeperWith({});
  });

  const report = (node: string, given: Partial<ImageCopyReport> = {}): ImageCopyReport => ({
    ...{ image: 'img-1', disk: `disk-of-${node}`, state: 'sealed', uuid: `lvol-${node}` },
    ...{ sizeBytes: 4 * MIB, presence: 'present', allocatedClusters: 2, clones: 0 },
    ...given,
  });
  const tell = (node: string, ...images: ImageCopyReport[]): Promise<void> => {
    const inventory = { node, agentInstance: 'i', replicas: [], engines: [], images };
    clones.hear(inventory);
    return sweep.consider(inventory);
  };

  /** Inventories of the node, one a second, for longer than a stray may stay. */
  async function pass(node: string, ...images: ImageCopyReport[]): Promise<void> {
    for (let ms = 0; ms <= STRAY_MS; ms += 1_000) {
      await tell(node, ...images);
      nowMs += 1_000;
    }
  }

  it('deletes a copy that no record wants, and not before it was so for a while', async () => {
    await tell('n2', report('n2'));
    expect(sent).toEqual([]);
    await pass('n2', report('n2'));
    expect(sent[0]).toBe('image.delete-copy disk-of-n2 to n2');
    expect(counts.view()['image-copies']?.repairs).toBeGreaterThan(0);
  });

  it('says by which record it deletes: a node that keeps a newer one refuses', async () => {
    record = imageRecord({ generation: 1, revision: 8 });
    await pass('n2', report('n2'));
    expect(decidedBy).toEqual([{ generation: 1, revision: 8 }]);
    record = undefined;
    isDeleted = true;
    await pass('n3', report('n3'));
    // The whole image is not wanted, whatever the node knows of it.
    expect(decidedBy.at(-1)).toBeUndefined();
  });

  it('deletes nothing by what it heard last: the record itself decides', async () => {
    cached = imageRecord({ copies: [] });
    await pass('n1', report('n1'));
    expect(sent).toEqual([]);
  });

  it('leaves a copy to the operation that makes it, and one of an image that it knows nothing of', async () => {
    running = ['image-copy/img-1/disk-of-n2'];
    await pass('n2', report('n2'));
    running = [];
    record = undefined;
    await pass('n3', report('n3'));
    expect(sent).toEqual([]);
    isDeleted = true;
    await pass('n3', report('n3'));
    expect(sent).not.toEqual([]);
  });

  it('drops from the record what is positively gone, and nothing else', async () => {
    record = imageRecord({ copies: [copyOn('n1'), copyOn('n2')] });
    await tell('n1', report('n1', { presence: 'unknown' }));
    expect(record.copies).toHaveLength(2);
    await tell('n1', report('n1', { presence: 'absent' }));
    expect(record.copies.map(({ node }) => node)).toEqual(['n2']);
    expect(released).toEqual(['disk-of-n1']);
  });

  it('fetches all that are missing at once, each to a node that has none, and none again at once', async () => {
    const to = (node: string) => ({ image: 'img-1', node, disk: `disk-of-${node}` });
    record = imageRecord({ minimumCopies: 3, copies: [copyOn('n1')] });
    await keeper.look();
    expect(spread).toEqual([to('n2'), to('n3')]);
    await keeper.look();
    expect(spread).toHaveLength(2);
    // One has come, the other has not.
    record = imageRecord({ minimumCopies: 3, copies: [copyOn('n1'), copyOn('n2')] });
    nowMs += 120_000;
    await keeper.look();
    expect(spread.slice(2)).toEqual([to('n3')]);
  });

  it('fetches nothing where no copy can be read', async () => {
    record = imageRecord({ minimumCopies: 2 });
    down = ['n1'];
    await keeper.look();
    expect(spread).toEqual([]);
  });

  it('gives up an idle copy above the minimum, and keeps one that turns out to be in use', async () => {
    const long = new Date(nowMs - 2 * EVICT_MS).toISOString();
    const copies = [copyOn('n1'), copyOn('n2', { readyAt: long })];
    record = imageRecord({
      copies: [copyOn('n1', { readyAt: new Date(nowMs).toISOString() }), ...copies.slice(1)],
    });
    await keeper.look();
    // Nobody has told of its clones yet.
    expect(sent).toEqual([]);
    await tell('n2', report('n2'));
    refusal = 'IMAGE_COPY_IN_USE';
    await keeper.look();
    expect(record.copies.map(({ state }) => state)).toEqual(['ready', 'ready']);
    refusal = undefined;
    await keeper.look();
    expect(record.copies.map(({ node }) => node)).toEqual(['n1']);
    expect(released).toEqual(['disk-of-n2']);
  });

  it.each([
    { state: 'deleting', left: ['ready'], decisions: [0, 7] },
    { state: 'ready', left: ['ready', 'ready'], decisions: [0] },
  ] as const)(
    'goes by the newer record that a node has heard of, in which the copy is $state',
    async ({ state, left, decisions }) => {
      record = imageRecord({ copies: [copyOn('n1'), copyOn('n2', { state: 'deleting' })] });
      refusal = 'RECORD_STALE';
      whenRefused = () => {
        refusal = undefined;
        record = imageRecord({ revision: 7, copies: [copyOn('n1'), copyOn('n2', { state })] });
      };
      await keeper.look();
      expect(record.copies.map((copy) => copy.state)).toEqual(left);
      expect(decidedBy).toMatchObject(decisions.map((revision) => ({ revision })));
    },
  );

  it('gives up a copy at once where little room is left, and none that was wanted just now', async () => {
    const ago = (ms: number) => new Date(nowMs - ms).toISOString();
    record = imageRecord({
      copies: [copyOn('n1', { wantedAt: ago(1_000) }), copyOn('n2', { wantedAt: ago(120_000) })],
    });
    for (const node of ['n1', 'n2']) await tell(node, report(node));
    await keeper.look();
    expect(sent).toEqual([]);
    freeBytes = 6 * MIB;
    await keeperWith({ leastFreePercent: 0 }).look();
    expect(sent).toEqual([]);
    await keeper.look();
    await keeper.look();
    expect(record.copies.map(({ node }) => node)).toEqual(['n1']);
    expect(released).toEqual(['disk-of-n2']);
  });

  it('keeps the minimum whoever evicts what at once, and tells how many have gone', async () => {
    const wantedAt = new Date(nowMs - 120_000).toISOString();
    const nodes = ['n1', 'n2', 'n3'];
    record = imageRecord({
      ...{ minimumCopies: 2, copies: nodes.map((node) => copyOn(node, { wantedAt })) },
    });
    for (const node of nodes) await tell(node, report(node));
    const idle = await eviction.idle();
    expect(idle.map(({ node, spare }) => [node, spare])).toEqual(nodes.map((node) => [node, 1]));
    const gone = await Promise.all([eviction.evict(idle, 'room'), eviction.evict(idle, 'room')]);
    expect(gone.reduce((sum, evicted) => sum + evicted, 0)).toBe(1);
    expect(record.copies).toHaveLength(2);
    expect(await eviction.idle()).toEqual([]);
  });

  it('evicts none of a node that is away, and counts none of its copies', async () => {
    const wantedAt = new Date(nowMs - 120_000).toISOString();
    record = imageRecord({ copies: [copyOn('n1', { wantedAt }), copyOn('n2', { wantedAt })] });
    for (const node of ['n1', 'n2']) await tell(node, report(node));
    const idle = await eviction.idle();
    down = ['n2'];
    expect(await eviction.evict(idle, 'room')).toBe(0);
    expect(sent).toEqual([]);
  });

  it('asks a node that has refused not at once again', async () => {
    refusal = 'IMAGE_COPY_IN_USE';
    await pass('n2', report('n2'));
    await pass('n2', report('n2'));
    expect(sent).toHaveLength(1);
    nowMs += 60_000;
    await pass('n2', report('n2'));
    expect(sent).toHaveLength(2);
  });

  it('gives up a wrong copy when nothing stands on it any more, and a right one is left', async () => {
    record = imageRecord({ copies: [copyOn('n1'), copyOn('n2', { state: 'corrupt' })] });
    await tell('n2', report('n2', { clones: 1 }));
    await keeper.look();
    expect(sent).toEqual([]);
    await tell('n2', report('n2'));
    await keeper.look();
    expect(record.copies.map(({ node }) => node)).toEqual(['n1']);
    record = imageRecord({ copies: [copyOn('n2', { state: 'corrupt' })] });
    await keeper.look();
    expect(record.copies).toHaveLength(1);
  });

  it('drops a copy that nobody fetches any more, after a while', async () => {
    record = imageRecord({ copies: [copyOn('n1'), copyOn('n2', { state: 'fetching' })] });
    running = ['image-copy/img-1/disk-of-n2'];
    await keeper.look();
    nowMs += 120_000;
    await keeper.look();
    running = [];
    await keeper.look();
    expect(record.copies).toHaveLength(2);
    nowMs += 60_000;
    await keeper.look();
    expect(record.copies.map(({ node }) => node)).toEqual(['n1']);
  });

  it('has an image read that was not for long, and not again at once', async () => {
    const checkedAt = new Date(nowMs - 2_000).toISOString();
    record = imageRecord({ copies: [copyOn('n1', { checkedAt })] });
    await keeper.look();
    expect(spread).toEqual([]);
    keeper = keeperWith({ verifyEveryMs: 1_000 });
    await keeper.look();
    nowMs += 60_000;
    await keeper.look();
    expect(spread).toEqual([{ image: 'img-1', mibPerSecond: 32 }]);
  });

  it('ends what another instance had begun to give up', async () => {
    record = imageRecord({ copies: [copyOn('n1'), copyOn('n2', { state: 'deleting' })] });
    await keeper.look();
    expect(sent).toEqual(['image.delete-copy disk-of-n2 to n2']);
    expect(record.copies.map(({ node }) => node)).toEqual(['n1']);
  });
});
