import type { ImageRecord } from '@lariat/contracts';
import type { MessageContext } from '@lariat/messaging';
import { beforeEach, expect, it } from 'vitest';
import type { ImageService } from '../app-tokens.js';
import { applyImageChanges } from '../domain/apply-change.js';
import { copyOn, imageRecord } from '../testing/image-record.js';
import { InternalController } from './internal.controller.js';

let record: ImageRecord;
let begun: unknown[];
let reads: number;
/** What happens before the record is read for the nth time. */
let beforeRead: (read: number) => void;
let controller: InternalController;

beforeEach(() => {
  record = imageRecord({ copies: [copyOn('n1'), copyOn('n2')] });
  [begun, reads] = [[], 0];
  beforeRead = () => undefined;
  const service = {
    images: {
      find: () => Promise.resolve(record),
      read: () => {
        reads += 1;
        beforeRead(reads);
        return Promise.resolve(record);
      },
      change: (_id: string, decide: (current: ImageRecord) => never) => {
        record = applyImageChanges(record, decide(record)).record;
        return Promise.resolve(record);
      },
    },
    runner: {
      start: ({ input }: { input: unknown }) => {
        begun.push({ input, copies: record.copies.map(({ state }) => state) });
        return Promise.resolve({ id: 'op-1' });
      },
      wait: () => Promise.resolve({ error: null }),
    },
    clock: { nowMs: () => 0, monotonicMs: () => performance.now() },
  };
  controller = new InternalController(service as unknown as ImageService);
});

const ensure = (...nodes: readonly string[]) =>
  controller.ensureCopies(
    {
      ...{ image: 'img-1', volume: 'vol-1' },
      disks: nodes.map((node) => ({ node, disk: `disk-of-${node}` })),
    },
    { facts: { actor: 'test' } } as unknown as MessageContext,
  );

it('fetches a copy only where there is none, and marks those that are there as wanted', async () => {
  expect(await ensure('n1', 'n3')).toEqual({ ready: true });
  expect(begun).toMatchObject([{ input: { image: 'img-1', node: 'n3', disk: 'disk-of-n3' } }]);
  expect(record.copies.map(({ wantedAt }) => wantedAt !== null)).toEqual([true, false]);
});

it('fetches a copy that is being evicted once it is gone, and not before', async () => {
  const [kept, going] = record.copies;
  if (kept === undefined || going === undefined) throw new Error('there are two');
  record = { ...record, copies: [kept, { ...going, state: 'deleting' }] };
  beforeRead = (read) => {
    if (read === 3) record = { ...record, copies: [kept] };
  };
  expect(await ensure('n2')).toEqual({ ready: true });
  expect(begun).toMatchObject([{ input: { disk: 'disk-of-n2' }, copies: ['ready'] }]);
});
