import type { ImageRecord, NodeView } from '@lariat/contracts';
import { lariatError } from '@lariat/contracts';
import { ReconcileCounts } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { applyImageChanges } from '../domain/apply-change.js';
import { copyOn, imageRecord } from '../testing/image-record.js';
import { type LeaveDiskDeps, leaveDisk } from './leave-disk.js';

describe('a copy of an image on a disk that is to be emptied', () => {
  let record: ImageRecord;
  let happened: string[];
  let isInUse: boolean;
  let down: readonly string[];

  beforeEach(() => {
    record = imageRecord({ minimumCopies: 2, copies: [copyOn('n1'), copyOn('n2')] });
    happened = [];
    isInUse = false;
    down = [];
  });

  const nodes = (): readonly NodeView[] =>
    ['n1', 'n2', 'n3'].map((name) => ({
      ...{ name, state: down.includes(name) ? 'down' : 'ready', schedulable: name !== 'n2' },
      disks: [{ id: `disk-of-${name}`, node: name, schedulable: true, availableBytes: 2 ** 30 }],
    })) as unknown as readonly NodeView[];

  const leave = (): Promise<void> => {
    const deps = {
      images: {
        read: () => Promise.resolve(record),
        change: (
          _id: string,
          decide: Parameters<LeaveDiskDeps['images']['change']>[1],
        ): Promise<ImageRecord> => {
          const changes = typeof decide === 'function' ? decide(record) : decide;
          record = applyImageChanges(record, changes).record;
          return Promise.resolve(record);
        },
      },
      runner: {
        start: ({ input }: { input: { node: string } }) => {
          happened.push(`spread to ${input.node}`);
          record = { ...record, copies: [...record.copies, copyOn(input.node)] };
          return Promise.resolve({ id: 'op-1' });
        },
        wait: () => Promise.resolve({ error: null }),
      },
      client: {
        request: (name: string) => {
          if (name === 'node.list') return Promise.resolve({ nodes: nodes() });
          if (name === 'internal.image.record') return Promise.resolve(record);
          happened.push(name);
          return Promise.resolve({});
        },
      },
      commands: {
        send: (node: string, { command }: { command: string }) => {
          if (isInUse) return Promise.reject(lariatError('IMAGE_COPY_IN_USE', 'it is used'));
          happened.push(`${command} to ${node}`);
          return Promise.resolve({});
        },
      },
      operations: { running: () => [] },
      eviction: { idle: () => Promise.resolve([]), evict: () => Promise.resolve(0) },
      clock: { nowMs: () => 0, monotonicMs: () => 0 },
      counts: new ReconcileCounts(),
      log: { info: () => undefined, warn: () => undefined },
    };
    const site = { image: 'img-1', node: 'n2', disk: 'disk-of-n2' };
    return leaveDisk(deps as unknown as LeaveDiskDeps, site, 'test');
  };
  const places = (): readonly string[] => record.copies.map(({ node }) => node);

  it('is made elsewhere first when there would be too few', async () => {
    await leave();
    expect(happened).toEqual([
      'spread to n3',
      'image.delete-copy to n2',
      'internal.placement.release-copy',
    ]);
    expect(places()).toEqual(['n1', 'n3']);
    await leave();
    expect(happened).toHaveLength(3);
  });

  it('just goes when there are enough others', async () => {
    record = { ...record, copies: [copyOn('n1'), copyOn('n2'), copyOn('n3')] };
    await leave();
    expect(happened[0]).toBe('image.delete-copy to n2');
  });

  it('stays when no other disk has room, or its own node is gone', async () => {
    down = ['n3'];
    await expect(leave()).rejects.toMatchObject({ code: 'NO_CAPACITY' });
    down = ['n2'];
    await expect(leave()).rejects.toMatchObject({ code: 'NODE_NOT_READY' });
    expect(places()).toEqual(['n1', 'n2']);
    expect(happened).toEqual([]);
  });

  it('is ready again when a replica stands on it', async () => {
    isInUse = true;
    record = { ...record, copies: [copyOn('n1'), copyOn('n2'), copyOn('n3')] };
    await expect(leave()).rejects.toMatchObject({ code: 'IMAGE_COPY_IN_USE' });
    expect(record.copies.map(({ state }) => state)).toEqual(['ready', 'ready', 'ready']);
  });

  it('waits for what an operation does with the image', async () => {
    record = { ...record, operation: 'op-2' };
    await expect(leave()).rejects.toMatchObject({
      ...{ code: 'OPERATION_IN_PROGRESS', details: { operation: 'op-2' } },
    });
  });
});
