import {
  type ImageEvidence,
  type ImageRecord,
  type RecoverImagesRequest,
  lariatError,
} from '@lariat/contracts';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { answers, silent } from '../domain/recovery/recovery.test-support.js';
import { type ImageRecoveryParts, evidenceByImage, recoverImages } from './recover-images.js';

const recordOf = (revision: number, given: Partial<ImageRecord> = {}): ImageRecord =>
  ({ id: 'img-1', name: 'debian', revision, state: 'ready', ...given }) as ImageRecord;
const copy = { disk: 'd', state: 'sealed', presence: 'present', uuid: 'u' } as const;
const told = (node: string, record: ImageRecord | null) => ({
  ...answers(node),
  images: [{ image: 'img-1', record, copies: [{ ...copy, sizeBytes: 1, operation: 'op' }] }],
});
const gather = (...all: Parameters<typeof evidenceByImage>[0][number][]) =>
  evidenceByImage(
    all,
    () => ['v1'],
    (...references) => references.includes('debian'),
  );

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('gathers the newest record of an image, and every copy with its node', () => {
  const found = gather(told('n1', recordOf(3)), silent('n9'), told('n2', recordOf(5)));
  expect(found).toMatchObject([
    { image: 'img-1', record: { revision: 5 }, usedBy: ['v1'], isAccepted: true },
  ]);
  expect(found[0]?.copies.map(({ node }) => node)).toEqual(['n1', 'n2']);
  expect(gather(told('n1', null))).toMatchObject([{ record: null, isAccepted: false }]);
});

it('takes a deletion for the newer of two records that stand at the same place', () => {
  const deleting = recordOf(3, { state: 'deleting' });
  for (const [a, b] of [
    [recordOf(3), deleting],
    [deleting, recordOf(3)],
  ] as const)
    expect(gather(told('n1', a), told('n2', b))[0]?.record?.state).toBe('deleting');
});

const clientOf = (recover: (request: RecoverImagesRequest) => unknown): ImageRecoveryParts => {
  const stored = [{ id: 'img-stored' }];
  const request = async (name: string, body: unknown): Promise<unknown> =>
    name === 'image.list' ? { images: stored } : recover(body as RecoverImagesRequest);
  return { client: { request } } as unknown as ImageRecoveryParts;
};
const wish = { dryRun: false, answered: ['n1'] };

it('asks about what is told of and about what is stored, in messages that NATS takes', async () => {
  const sizes: number[] = [];
  const asked: string[] = [];
  const parts = clientOf((body) => {
    sizes.push(JSON.stringify(body).length);
    asked.push(...body.images.map(({ image }) => image));
    return { images: body.images.map(({ image: id }) => ({ id })), written: true, names: 1 };
  });
  const labels = { much: 'x'.repeat(100_000) };
  const many = Array.from({ length: 7 }, (_, at): ImageEvidence => ({
    ...{ image: `img-${at}`, record: recordOf(1, { labels }), copies: [], usedBy: [] },
    isAccepted: false,
  }));
  const found = await recoverImages(parts, many, wish);
  expect(asked).toEqual([...many.map(({ image }) => image), 'img-stored']);
  expect(found.images.map(({ id }) => id)).toEqual(asked);
  expect(found).toMatchObject({ written: true, names: sizes.length });
  expect(Math.max(...sizes)).toBeLessThan(512 * 1024);
});

it('waits for the image service to be up, and then says of which images it did not answer', async () => {
  let refusals = 3;
  const parts = clientOf(() => {
    refusals -= 1;
    if (refusals >= 0) throw lariatError('SERVICE_UNAVAILABLE', 'nobody listens');
    return { images: [], written: false, names: 0 };
  });
  const evidence = gather(told('n1', recordOf(3)));
  const done = recoverImages(parts, evidence, wish);
  await vi.advanceTimersByTimeAsync(60_000);
  expect((await done).images).toEqual([]);
  refusals = Number.POSITIVE_INFINITY;
  const given = recoverImages(parts, evidence, wish);
  await vi.advanceTimersByTimeAsync(60_000);
  const [image] = (await given).images;
  expect(image).toMatchObject({ name: 'debian', outcome: 'not-recovered' });
  expect(image?.notes.join()).toContain('nobody listens');
});
