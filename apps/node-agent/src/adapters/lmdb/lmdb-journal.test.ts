import 'reflect-metadata';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ImageRecord, VolumeRecord } from '@lariat/contracts';
import type { OwnedLvol } from '../../domain/ownership.js';
import { envelopeOf, tempDir } from '../../testing/fixture.js';
import { LmdbJournal } from './lmdb-journal.js';

let dir: ReturnType<typeof tempDir>;
let journal: LmdbJournal;

beforeEach(() => {
  dir = tempDir();
  journal = new LmdbJournal(dir.path);
});
afterEach(async () => {
  await journal.close();
  dir.remove();
});

async function reopen(): Promise<void> {
  await journal.close();
  journal = new LmdbJournal(dir.path);
}

const stop = (epoch: number, over: object = {}) =>
  envelopeOf('engine.stop', { volume: 'vol-1', epoch }, over);

test('an intent without a result has no answer, also after a restart', async () => {
  expect(await journal.begin(stop(1), Date.now())).toBeUndefined();
  await reopen();
  expect(journal.answerOf('op-1/engine.stop')).toBeUndefined();
});

test('the first answer is kept over a restart', async () => {
  await journal.begin(stop(1), Date.now());
  const answer = { id: 'op-1/engine.stop', data: {} };
  await journal.end(answer.id, answer, Date.now());
  await reopen();
  expect(journal.answerOf(answer.id)).toEqual(answer);
});

test('a lower fence of the same operation is refused, and another operation is not', async () => {
  await journal.begin(stop(1, { fence: 5 }), Date.now());
  await reopen();
  expect(await journal.begin(stop(1, { id: 'b', fence: 4 }), Date.now())).toMatchObject({
    code: 'COMMAND_FENCED',
  });
  expect(await journal.begin(stop(1, { id: 'c', fence: 5 }), Date.now())).toBeUndefined();
  const other = stop(1, { id: 'd', operation: 'op-2', fence: 1 });
  expect(await journal.begin(other, Date.now())).toBeUndefined();
});

test('an epoch below the highest is refused, whoever asks', async () => {
  await journal.begin(stop(7), Date.now());
  await reopen();
  const late = stop(6, { id: 'late', operation: 'op-9', fence: 99 });
  expect(await journal.begin(late, Date.now())).toMatchObject({ code: 'EPOCH_STALE' });
  expect(journal.highestEpoch('vol-1')).toBe(7);
});

test('a command past its deadline changes nothing, not even the epoch', async () => {
  const expired = stop(9, { deadlineAtMs: 1_000 });
  expect(await journal.begin(expired, 1_001)).toMatchObject({ code: 'COMMAND_EXPIRED' });
  expect(journal.highestEpoch('vol-1')).toBe(0);
});

test('of two deliveries at once with different epochs the lower one never wins', async () => {
  const outcomes = await Promise.all([
    journal.begin(stop(4, { id: 'a' }), Date.now()),
    journal.begin(stop(3, { id: 'b' }), Date.now()),
  ]);
  expect(outcomes.map((refusal) => refusal?.code)).toEqual([undefined, 'EPOCH_STALE']);
});

test('old commands are pruned, and epochs are not', async () => {
  await journal.begin(stop(3), 1_000);
  await journal.begin(stop(4, { id: 'young' }), 10_000);
  expect(await journal.prune(2_000)).toBe(1);
  expect(journal.highestEpoch('vol-1')).toBe(4);
});

const lvol = (name: string, owner: string): OwnedLvol => ({
  kind: 'lvol',
  name,
  uuid: null,
  owner,
  volume: 'vol-1',
  operation: 'op-1',
  epoch: null,
  params: {
    disk: 'disk-1',
    lvolName: name,
    role: 'head',
    snapshot: null,
    sizeBytes: 1,
    sourceController: null,
    revertTo: null,
  },
});

test('records are found by kind and by owner alone', async () => {
  // One name is a prefix of the other: a match by pattern would take both.
  await journal.putOwned(lvol('disk-1/rep-a', 'rep-a'));
  await journal.putOwned(lvol('disk-1/rep-ab', 'rep-ab'));
  await reopen();
  expect(journal.ownedBy('rep-a').map(({ name }) => name)).toEqual(['disk-1/rep-a']);
  expect(journal.ownedOfKind('lvol')).toHaveLength(2);
  expect(journal.ownedOfKind('disk')).toHaveLength(0);
  await journal.dropOwned('lvol', 'disk-1/rep-a');
  expect(journal.owned('lvol', 'disk-1/rep-a')).toBeUndefined();
  expect(journal.owned('lvol', 'disk-1/rep-ab')?.owner).toBe('rep-ab');
});

test('of two copies of a record the newer one is kept, in whatever order they come', async () => {
  const copy = (generation: number, revision: number): VolumeRecord => ({
    ...({ id: 'vol-1', name: `${generation}.${revision}` } as VolumeRecord),
    generation,
    revision,
  });
  expect(await journal.keepRecord('volume', copy(0, 9))).toBeUndefined();
  await journal.putOwned(lvol('disk-1/rep-a', 'rep-a'));
  expect(journal.recordPosition('volume', 'vol-1')).toBeUndefined();
  const kept = { held: { generation: 0, revision: 7 }, isSame: true };
  expect(await journal.keepRecord('volume', copy(0, 7))).toEqual(kept);
  expect(await journal.keepRecord('volume', copy(0, 7))).toEqual(kept);
  expect(await journal.keepRecord('volume', copy(0, 6))).toEqual({ ...kept, isSame: false });
  // The same place again, with other words: the first to come is the one that was counted on.
  const other = { ...copy(0, 7), name: 'other' };
  expect(await journal.keepRecord('volume', other)).toEqual({ ...kept, isSame: false });
  expect(journal.records('volume')).toMatchObject([{ name: '0.7' }]);
  await Promise.all([
    journal.keepRecord('volume', copy(1, 2)),
    journal.keepRecord('volume', copy(0, 900)),
  ]);
  await reopen();
  expect(journal.records('volume')).toMatchObject([{ name: '1.2' }]);
  expect(journal.recordPosition('volume', 'vol-1')).toEqual({ generation: 1, revision: 2 });
  await journal.dropRecord('volume', 'vol-1');
  expect(journal.records('volume')).toEqual([]);
  expect(journal.recordPosition('volume', 'vol-1')).toBeUndefined();
});

test('the record of an image is kept beside a sealed copy of it alone, apart from those of volumes', async () => {
  const record = { id: 'img-1', name: 'debian', revision: 2 } as ImageRecord;
  const { params, ...owned } = lvol('disk-1/img-1', 'image/img-1/disk-1');
  const ofImage = (role: 'image' | 'image-draft') =>
    journal.putOwned({ ...owned, volume: null, params: { ...params, role, image: 'img-1' } });
  await ofImage('image-draft');
  expect(await journal.keepRecord('image', record)).toBeUndefined();
  await ofImage('image');
  expect(await journal.keepRecord('image', record)).toMatchObject({ isSame: true });
  await reopen();
  expect(journal.records('image')).toEqual([record]);
  expect(journal.recordPosition('image', 'img-1')).toEqual({ generation: 0, revision: 2 });
  expect([journal.records('volume'), journal.ownsPartOf('volume', 'img-1')]).toEqual([[], false]);
});

test('a note is kept over a restart, until it is pruned', async () => {
  await journal.note('op-1/engine.stop', { inStep: ['rep-a'] }, 1_000);
  await reopen();
  expect(journal.noteOf('op-1/engine.stop')).toEqual({ inStep: ['rep-a'] });
  expect(journal.noteOf('op-2/engine.stop')).toBeUndefined();
  await journal.prune(2_000);
  expect(journal.noteOf('op-1/engine.stop')).toBeUndefined();
});
