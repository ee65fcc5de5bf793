import type { IdleImageCopy } from '@lariat/contracts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { imageRecord } from '../testing/image-record.js';
import { copiesToRelieve, withoutLeaving } from './relieve-disks.js';

const DISKS = ['d1', 'd2', 'd3'];
const IMAGES = ['img-1', 'img-2', 'img-3'];

const copy = fc
  .record({
    image: fc.constantFrom(...IMAGES),
    disk: fc.constantFrom(...DISKS),
    idleSinceMs: fc.integer({ min: 0, max: 1_000 }),
  })
  .map((given) => ({ ...given, node: 'n1', sizeBytes: 10 * (1 + IMAGES.indexOf(given.image)) }));

const idleCopies = fc
  .record({
    copies: fc.uniqueArray(copy, { selector: ({ image, disk }) => `${image}/${disk}` }),
    spares: fc.tuple(...IMAGES.map(() => fc.integer({ min: 1, max: 3 }))),
  })
  .map(({ copies, spares }) =>
    copies.map((one): IdleImageCopy => ({
      ...one,
      spare: spares[IMAGES.indexOf(one.image)] ?? 1,
    })),
  );

const disks = fc
  .tuple(...DISKS.map(() => fc.integer({ min: 0, max: 110 })))
  .map((scheduled) =>
    DISKS.map((id, at) => ({ id, allocatableBytes: 100, scheduledBytes: scheduled[at] ?? 0 })),
  );

it('lets go what brings disks with too little room up to enough, and not one copy more', () => {
  fc.assert(
    fc.property(idleCopies, disks, fc.integer({ min: 1, max: 100 }), (idle, given, percent) => {
      const chosen = copiesToRelieve(given, idle, percent);
      expect(new Set(chosen).size).toBe(chosen.length);
      for (const image of IMAGES) {
        const spare = idle.find((one) => one.image === image)?.spare ?? 0;
        expect(chosen.filter((one) => one.image === image).length).toBeLessThanOrEqual(spare);
      }
      for (const { id, scheduledBytes } of given) {
        const here = chosen.filter(({ disk }) => disk === id);
        const freeBytes = 100 - scheduledBytes;
        // Without the last of them there was too little.
        const before = here.slice(0, -1).reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0);
        expect(here.length === 0 || freeBytes + before < percent).toBe(true);
        expect(here.map(({ idleSinceMs }) => idleSinceMs)).toEqual(
          here.map(({ idleSinceMs }) => idleSinceMs).toSorted((a, b) => a - b),
        );
        const after = here.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, freeBytes);
        const left = idle.filter((one) => one.disk === id && !chosen.includes(one));
        const isSpent = ({ image, spare }: IdleImageCopy): boolean =>
          chosen.filter((one) => one.image === image).length >= spare;
        expect(after >= percent || left.every(isSpent)).toBe(true);
      }
    }),
  );
});

it('lets nothing more go for room that copies are about to leave', () => {
  const disk = { id: 'd1', allocatableBytes: 100, scheduledBytes: 100 };
  const copyOn = (id: string, state: 'deleting' | 'ready') => ({
    ...{ node: 'n1', disk: id, state, lvolUuid: 'lvol' },
    ...{ readyAt: null, checkedAt: null, wantedAt: null },
  });
  const leaving = imageRecord({ sizeBytes: 30, copies: [copyOn('d1', 'deleting')] });
  const others = imageRecord({ copies: [copyOn('d1', 'ready'), copyOn('d2', 'deleting')] });
  const room = withoutLeaving([leaving, others])(disk);
  expect(room).toEqual({ ...disk, scheduledBytes: 70 });
  const idle = { image: 'img-9', node: 'n1', disk: 'd1', sizeBytes: 20, idleSinceMs: 0, spare: 1 };
  expect(copiesToRelieve([disk], [idle], 30)).toEqual([idle]);
  expect(copiesToRelieve([room], [idle], 30)).toEqual([]);
});
