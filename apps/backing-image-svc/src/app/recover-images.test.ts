import { join } from 'node:path';
import { type ImageEvidence, type ImageRecord, lariatError } from '@lariat/contracts';
import { systemClock } from '@lariat/kernel';
import { RecordCopies, connectNats } from '@lariat/messaging';
import { createLog } from '@lariat/telemetry';
import { type TestNats, findNatsBinary, startNats } from '@lariat/testing';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ImageStore } from '../adapters/image-store.js';
import { IMAGE_COPIES } from '../domain/record-copies.js';
import { copyOn, imageRecord } from '../testing/image-record.js';
import { type ImageRecoveryParts, recoverImages } from './recover-images.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..', '..'));

const recordOf = (id: string, name: string, given: Partial<ImageRecord> = {}): ImageRecord =>
  imageRecord({ id, name, revision: 4, ...given });
const sealed = {
  disk: 'disk-of-n1',
  state: 'sealed',
  presence: 'present',
  uuid: 'lvol-n1',
} as const;
const evidenceOf = (image: string, given: Partial<ImageEvidence> = {}): ImageEvidence => ({
  ...{ image, record: null, usedBy: [], isAccepted: false },
  copies: [{ ...sealed, node: 'n1', sizeBytes: 1, operation: 'op-1' }],
  ...given,
});
const lost = (record: ImageRecord, given: Partial<ImageEvidence> = {}): ImageEvidence =>
  evidenceOf(record.id, { record, ...given });

describe.skipIf(binary === undefined)('a recovery of images into an empty store', () => {
  let nats: TestNats;
  let connection: NatsConnection;
  let images: ImageStore;
  /** What nodes were told to do, in order. */
  let sent: string[];
  /** Operations that have not ended. */
  let runs: Set<string>;

  beforeEach(async () => {
    [sent, runs] = [[], new Set()];
    nats = await startNats(binary ?? '');
    connection = await connectNats({ servers: nats.url, name: 'test' });
    const log = createLog('test', 'error', () => undefined);
    const copies = new RecordCopies(IMAGE_COPIES, commands, systemClock, log);
    images = await ImageStore.open(connection, systemClock, copies);
  });
  afterEach(async () => {
    await connection.close();
    await nats.stop();
  });

  const commands = {
    send: (node: string, { command }: { command: string }): Promise<unknown> => {
      sent.push(`${command} ${node}`);
      return command === 'image.delete-copy'
        ? Promise.resolve({})
        : Promise.resolve({ held: { generation: 1, revision: 5 }, isSame: true });
    },
  } as unknown as ImageRecoveryParts['commands'];
  const recover = (evidence: readonly ImageEvidence[], dryRun = false) => {
    const request = (_name: string, { operation }: { operation: string }): Promise<unknown> =>
      runs.has(operation)
        ? Promise.resolve({ state: 'running' })
        : Promise.reject(lariatError('OPERATION_NOT_FOUND', 'there is none'));
    const client = { request } as unknown as ImageRecoveryParts['client'];
    const parts = { images, client, commands, clock: systemClock, actor: 'test' };
    return recoverImages(parts, { images: [...evidence], answered: ['n1'], dryRun });
  };

  it('writes records and names once, tells the nodes, and does nothing in a dry run', async () => {
    const a = recordOf('img-aaaaaaaaaaaa', 'a');
    const report = { written: true, names: 1, images: [{ name: 'a', outcome: 'recovered' }] };
    expect(await recover([lost(a)], true)).toMatchObject(report);
    expect(await images.read(a.id)).toBeUndefined();
    expect(await images.names.imageOf('a')).toBeUndefined();
    expect(sent).toEqual([]);
    expect(await recover([lost(a)])).toMatchObject(report);
    expect(await images.read(a.id)).toEqual({ ...a, generation: 1, revision: 5 });
    expect(await images.names.imageOf('a')).toBe(a.id);
    expect(sent).toEqual(['record.keep n1']);
    expect(await recover([lost(a)])).toMatchObject({
      ...{ written: false, names: 0, images: [{ outcome: 'on-record' }] },
    });
  });

  it('puts a name back that is missing alone', async () => {
    const a = recordOf('img-aaaaaaaaaaaa', 'a');
    await images.create(a, 'test');
    expect(await recover([evidenceOf(a.id)])).toMatchObject({ written: false, names: 1 });
    expect(await images.names.imageOf('a')).toBe(a.id);
  });

  it('names an image anew whose name was taken since', async () => {
    await images.names.reserve('a', 'img-bbbbbbbbbbbb');
    const a = recordOf('img-aaaaaaaaaaaa', 'a');
    const [found] = (await recover([lost(a)])).images;
    expect(found).toMatchObject({ outcome: 'recovered', name: 'a-aaaaaaaaaaaa' });
    expect(found?.notes.join()).toContain("another image is named 'a' by now");
    expect((await images.find('a-aaaaaaaaaaaa')).id).toBe(a.id);
  });

  it('does not bring back one that was deleted, nor one in doubt', async () => {
    const a = recordOf('img-aaaaaaaaaaaa', 'a');
    await images.deleted.add(a.id);
    expect((await recover([lost(a)])).images).toEqual([]);
    const b = recordOf('img-bbbbbbbbbbbb', 'b', { copies: [copyOn('n1'), copyOn('n9')] });
    expect(await recover([lost(b)])).toMatchObject({
      ...{ written: false, names: 0, images: [{ name: 'b', outcome: 'in-doubt' }] },
    });
    expect([await images.read(a.id), await images.read(b.id)]).toEqual([undefined, undefined]);
  });

  it('deletes the draft of an import that nobody goes on with, and no other copy without a record', async () => {
    const copy = { node: 'n1', sizeBytes: 1, operation: 'op-cut', uuid: 'u' } as const;
    const draft = { ...sealed, ...copy, state: 'writing' } as const;
    const cut = evidenceOf('img-cut', { copies: [draft] });
    const going = evidenceOf('img-going', { copies: [{ ...draft, operation: 'op-runs' }] });
    const whole = evidenceOf('img-whole', { copies: [{ ...sealed, ...copy }, draft] });
    runs.add('op-runs');
    expect((await recover([cut], true)).images[0]?.notes.join()).toContain('it goes');
    expect(sent).toEqual([]);
    const { images: found, written } = await recover([cut, going, whole]);
    expect(sent).toEqual(['image.delete-copy n1']);
    expect(written).toBe(true);
    expect(found.map(({ outcome }) => outcome)).toEqual(Array(3).fill('not-recovered'));
    expect(found[2]?.notes.join()).toContain('no node keeps its record');
  });

  it('goes on with the others when one can not be put back', async () => {
    const a = recordOf('img-aaaaaaaaaaaa', 'a');
    for (const name of ['a', 'a-aaaaaaaaaaaa']) await images.names.reserve(name, 'img-other');
    const b = recordOf('img-bbbbbbbbbbbb', 'b');
    const { images: found } = await recover([lost(a), lost(b)]);
    expect(found.map(({ outcome }) => outcome)).toEqual(['not-recovered', 'recovered']);
    expect(found[0]?.notes.join()).toContain('are both taken');
  });

  it('counts the changes that nodes are to keep, and no others', async () => {
    const { id } = await images.create(recordOf('img-a', 'a', { revision: 0 }), 'test');
    const put = { type: 'put-copy', copy: copyOn('n2') } as const;
    expect(await images.change(id, [put], 'test')).toMatchObject({ revision: 1 });
    expect(sent).toEqual(['record.keep n1', 'record.keep n2']);
    const want = { type: 'want-copies', disks: ['disk-of-n1'], at: 'now' } as const;
    expect(await images.change(id, [want], 'test')).toMatchObject({ revision: 1 });
    expect(sent).toHaveLength(2);
    const held = (revision: number) => images.hasReached(id, { generation: 0, revision });
    expect([await held(1), await held(2)]).toEqual([true, false]);
  });
});
