import { type ErrorCode, type IdleImageCopy, lariatError } from '@lariat/contracts';
import type { LariatClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  InstanceRecords,
  SharedAllocations,
  nodeWithDisk,
} from './allocation-store.test-support.js';
import { Allocator } from './allocator.js';
import { RoomMaker } from './make-room.js';

const turns = { wait: () => Promise.resolve(), fate: () => 'stored' as const };
const clock = { nowMs: () => 0 };
const nodes = { list: () => ['n1', 'n2'].map((name) => nodeWithDisk(name, 100)) };
const log = { info: () => undefined, warn: () => undefined } as unknown as Log;
const volume = (name: string, replicas: number, sizeBytes: number) => ({
  ...{ volume: name, sizeBytes, excludeNodes: [] },
  replicas: Array.from({ length: replicas }, (_, at) => `${name}-${at}`),
});

describe('a request for room on disks that are full of copies of images', () => {
  let allocator: Allocator;
  let idle: IdleImageCopy[];
  let asked: string[];
  let refusal: ErrorCode | undefined;

  const copy = (image: string, node: string, sizeBytes: number): IdleImageCopy => ({
    ...{ image, node, disk: `disk-${node}`, sizeBytes, idleSinceMs: 0, spare: 1 },
  });
  const scheduled = () => allocator.disks().map(({ scheduledBytes }) => scheduledBytes);

  beforeEach(async () => {
    const answers: Readonly<Record<string, (body: never) => unknown>> = {
      'internal.image.idle-copies': () => ({ copies: idle }),
      'internal.image.evict-copies': async ({ copies }: { copies: IdleImageCopy[] }) => {
        let evicted = 0;
        for (const { image, disk } of copies) {
          asked.push(`${image} on ${disk}`);
          const found = idle.find((one) => one.image === image && one.disk === disk);
          if (found === undefined) continue;
          idle = idle.filter((one) => one !== found);
          await allocator.releaseImageCopy({ image, disk });
          evicted += 1;
        }
        return { evicted };
      },
    };
    const client = {
      request: (name: string, body: never) =>
        refusal === undefined
          ? Promise.resolve(answers[name]?.(body))
          : Promise.reject(lariatError(refusal, 'away')),
    };
    const room = new RoomMaker(client as unknown as LariatClient, log);
    const records = new InstanceRecords(new SharedAllocations(), turns);
    allocator = new Allocator(records, nodes, clock, undefined, room);
    [asked, refusal] = [[], undefined];
    idle = [copy('img-a', 'n1', 40), copy('img-b', 'n2', 40)];
    for (const { image, node, disk, sizeBytes } of idle)
      await allocator.promiseImageCopy({ image, node, disk, sizeBytes });
    for (const node of ['n1', 'n2'])
      await allocator.promiseImageCopy({ ...copy('img-used', node, 30) });
  });

  it('evicts what it takes, and places', async () => {
    expect(await allocator.reserve(volume('v', 1, 50))).toHaveLength(1);
    expect(asked).toHaveLength(1);
    expect(await allocator.reserve(volume('w', 1, 50))).toHaveLength(1);
    expect(asked).toHaveLength(2);
    expect(scheduled()).toEqual([80, 80]);
  });

  it('evicts nothing where there is room, or where it would not help', async () => {
    await allocator.reserve(volume('v', 2, 30));
    const error = await allocator.reserve(volume('w', 1, 90)).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'NO_CAPACITY' });
    expect((error as Error).message).toContain('30 B held by copies of images');
    await expect(allocator.reserve(volume('x', 3, 1))).rejects.toMatchObject({
      code: 'NOT_ENOUGH_NODES',
    });
    expect(asked).toEqual([]);
  });

  it('is refused as ever when the image service is away', async () => {
    refusal = 'SERVICE_UNAVAILABLE';
    await expect(allocator.reserve(volume('v', 1, 50))).rejects.toMatchObject({
      code: 'NO_CAPACITY',
    });
    expect(scheduled()).toEqual([70, 70]);
  });

  it('that comes beside others does not take what was freed for them twice', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const outcomes = await Promise.allSettled(
      names.map((name) => allocator.reserve(volume(name, 1, 35))),
    );
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual([
      ...Array.from({ length: 4 }, () => 'fulfilled'),
      ...['rejected', 'rejected'],
    ]);
    expect(scheduled()).toEqual([100, 100]);
    expect(asked.toSorted()).toEqual(['img-a on disk-n1', 'img-b on disk-n2']);
  });

  it('of a volume that grows, or of another copy, evicts on its very disk', async () => {
    const grown = volume('v', 2, 20);
    await allocator.reserve(grown);
    await allocator.grow(grown.replicas, 60);
    expect(scheduled()).toEqual([90, 90]);
    idle = [copy('img-used', 'n1', 30)];
    await allocator.promiseImageCopy({ ...copy('img-c', 'n1', 25) });
    expect(scheduled()).toEqual([85, 90]);
    await expect(allocator.promiseImageCopy({ ...copy('img-c', 'n2', 25) })).rejects.toMatchObject({
      code: 'NO_CAPACITY',
    });
  });
});
