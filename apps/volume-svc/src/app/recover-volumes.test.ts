import { join } from 'node:path';
import {
  type ImageEvidence,
  type ImageRecord,
  type SurveyedImage,
  type SurveyedVolume,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { deriveVolumeId, systemClock, toLariatError } from '@lariat/kernel';
import { RecordCopies, connectNats } from '@lariat/messaging';
import { createLog } from '@lariat/telemetry';
import { type TestNats, findNatsBinary, startNats } from '@lariat/testing';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VolumeStore } from '../adapters/volume-store.js';
import { VOLUME_COPIES } from '../domain/record-copies.js';
import { found } from '../domain/recovery/recovery.test-support.js';
import { newReplica, newVolumeRecord } from '../domain/volume-record.test-support.js';
import { type RecoveryParts, recoverVolumes } from './recover-volumes.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..', '..'));

/** One node that has a volume of one replica for each record. */
class OneNode {
  readonly done: string[] = [];
  refuses: (command: string) => boolean = () => false;

  constructor(
    private readonly volumes: readonly SurveyedVolume[],
    private readonly images: readonly SurveyedImage[] = [],
  ) {}

  readonly send = ((node: string, command: string): Promise<unknown> => {
    if (this.refuses(command)) return Promise.reject(lariatError('SNAPSHOT_IN_USE', 'has clones'));
    if (command !== 'record.survey') this.done.push(`${node} ${command}`);
    const answer = { disks: ['d'], volumes: this.volumes, images: this.images, next: null };
    return Promise.resolve(command === 'record.survey' ? answer : {});
  }) as unknown as RecoveryParts['send'];
}

const recordOf = (id: string, name: string, given: Partial<VolumeRecord> = {}): VolumeRecord =>
  newVolumeRecord({
    id,
    name,
    revision: 4,
    replicaCount: 1,
    replicas: [newReplica(`rep-of-${id}`, 'n1')],
    ...given,
  });
const surveyOf = (record: VolumeRecord, snapshots: readonly string[] = []): SurveyedVolume => ({
  volume: record.id,
  record,
  replicas: [found(`rep-of-${record.id}`, snapshots)],
  engine: null,
  epoch: 1,
});

const AWAY = { name: 'n9', state: 'down', reason: 'no heartbeats' };

describe.skipIf(binary === undefined)('a recovery into an empty store', () => {
  let nats: TestNats;
  let connection: NatsConnection;
  let volumes: VolumeStore;
  let promised: { replica: string; sizeBytes: number }[];
  /** Operations that have not ended. */
  let runs: Set<string>;
  let isOneAway: boolean;
  /** What the image service was asked about, in order. */
  let asked: ImageEvidence[];
  let imageService: (images: readonly ImageEvidence[]) => Promise<unknown>;

  beforeEach(async () => {
    runs = new Set();
    isOneAway = false;
    asked = [];
    imageService = () => Promise.resolve({ images: [], written: false, names: 0 });
    nats = await startNats(binary ?? '');
    connection = await connectNats({ servers: nats.url, name: 'test' });
    const log = createLog('test', 'error', () => undefined);
    const nobody = { send: () => Promise.reject(lariatError('DEADLINE_EXCEEDED', 'none')) };
    volumes = await VolumeStore.open(
      connection,
      systemClock,
      new RecordCopies(VOLUME_COPIES, nobody, systemClock, log),
    );
    promised = [];
  });
  afterEach(async () => {
    await connection.close();
    await nats.stop();
  });

  const recover = (node: OneNode, dryRun = false, acceptDataLoss: readonly string[] = []) => {
    const request = (name: string, body: unknown): Promise<unknown> => {
      if (name === 'node.list')
        return Promise.resolve({
          nodes: [{ name: 'n1', state: 'ready', reason: '' }, ...(isOneAway ? [AWAY] : [])],
        });
      if (name === 'operation.list')
        return Promise.resolve({
          operations: Array.from(runs, (id) => ({ id, state: 'running' })),
        });
      if (name === 'operation.get') {
        const { operation } = body as { operation: string };
        return runs.has(operation)
          ? Promise.resolve({ state: 'running' })
          : Promise.reject(lariatError('OPERATION_NOT_FOUND', 'there is none'));
      }
      if (name === 'image.list') return Promise.resolve({ images: [] });
      if (name === 'internal.image.recover') {
        const { images } = body as { images: readonly ImageEvidence[] };
        asked.push(...images);
        return imageService(images);
      }
      const { replicas, dryRun: dry } = body as { replicas: typeof promised; dryRun: boolean };
      const missing = replicas.filter((one) => !promised.some((p) => p.replica === one.replica));
      if (!dry) promised.push(...missing);
      return Promise.resolve({ restored: missing.length });
    };
    const client = { request } as unknown as RecoveryParts['client'];
    const parts = { volumes, clock: systemClock, client, send: node.send, actor: 'test' };
    return recoverVolumes(parts, { dryRun, acceptDataLoss });
  };

  it('writes records, names and allocations once, and nothing in a dry run', async () => {
    const a = recordOf('vol-aaaaaaaaaaaa', 'a');
    const node = new OneNode([surveyOf(a)]);
    expect(await recover(node, true)).toMatchObject({ changed: true, names: 1, allocations: 1 });
    expect(await volumes.read(a.id)).toBeUndefined();
    expect(await volumes.names.volumeOf('a')).toBeUndefined();
    expect(promised).toEqual([]);

    expect(await recover(node)).toMatchObject({ changed: true, names: 1, allocations: 1 });
    expect((await volumes.read(a.id))?.value).toEqual({ ...a, generation: 1, revision: 5 });
    expect(await volumes.names.volumeOf('a')).toBe(a.id);
    expect(promised).toMatchObject([{ replica: `rep-of-${a.id}`, sizeBytes: a.sizeBytes }]);

    expect(await recover(node)).toMatchObject({ changed: false, onRecord: 1, volumes: [] });
  });

  it('tells the image service first what is kept of images, and which of them volumes name', async () => {
    const image = { id: 'img-aaaaaaaaaaaa', name: 'debian', revision: 3 } as ImageRecord;
    const a = recordOf('vol-aaaaaaaaaaaa', 'a', { image: image.id });
    const copies = [
      { disk: 'd', state: 'sealed', presence: 'present', uuid: 'u', sizeBytes: 1, operation: 'op' },
    ] as const;
    const node = new OneNode([surveyOf(a)], [{ image: image.id, record: image, copies }]);
    let wasThere: boolean | undefined;
    imageService = async () => {
      wasThere = (await volumes.read(a.id)) !== undefined;
      const described = { id: image.id, name: 'debian', outcome: 'recovered', state: 'ready' };
      const place = { node: 'n1', disk: 'd', state: 'ready' };
      return {
        images: [{ ...described, sizeBytes: 1, copies: [place], notes: [] }],
        written: true,
        names: 1,
      };
    };
    const report = await recover(node, false, ['debian']);
    expect(asked).toEqual([
      {
        ...{ image: image.id, record: image, usedBy: ['a'], isAccepted: true },
        copies: [{ ...copies[0], node: 'n1' }],
      },
    ]);
    expect(wasThere).toBe(false);
    expect(report).toMatchObject({ names: 2, imagesOnRecord: 0, images: [{ name: 'debian' }] });
    expect(report.volumes).toMatchObject([{ name: 'a', outcome: 'recovered' }]);
  });

  it('puts a name back that is missing alone', async () => {
    const a = recordOf('vol-aaaaaaaaaaaa', 'a');
    await volumes.create(a, 'test');
    const node = new OneNode([surveyOf(a)]);
    expect(await recover(node)).toMatchObject({ changed: true, names: 1, onRecord: 1 });
    expect(await volumes.names.volumeOf('a')).toBe(a.id);
  });

  it('names a volume anew whose name was taken since', async () => {
    const a = recordOf('vol-aaaaaaaaaaaa', 'a');
    await volumes.names.reserve('a', 'vol-bbbbbbbbbbbb');
    const report = await recover(new OneNode([surveyOf(a)]));
    expect(report.volumes).toMatchObject([{ name: 'a-aaaaaaaaaaaa', outcome: 'recovered' }]);
    expect((await volumes.find('a-aaaaaaaaaaaa')).id).toBe(a.id);
    expect(await volumes.names.volumeOf('a')).toBe('vol-bbbbbbbbbbbb');
    expect(await recover(new OneNode([surveyOf(a)]))).toMatchObject({ changed: false });
  });

  it('writes no record before its nodes have ended what was half done, and goes on with the others', async () => {
    const snapshot = { id: 's', name: 's', sizeBytes: 1, createdAt: '', parent: null, user: false };
    const half = recordOf('vol-aaaaaaaaaaaa', 'a', { snapshots: [snapshot], headParent: 's' });
    const whole = recordOf('vol-bbbbbbbbbbbb', 'b');
    const node = new OneNode([surveyOf(half, ['s']), surveyOf(whole)]);
    node.refuses = (command) => command === 'snapshot.delete';
    const report = await recover(node);
    expect(report.volumes).toMatchObject([
      { name: 'a', outcome: 'not-recovered' },
      { name: 'b', outcome: 'recovered' },
    ]);
    expect(report.volumes[0]?.notes.join()).toContain('has clones');
    expect(await volumes.read(half.id)).toBeUndefined();

    node.refuses = () => false;
    const again = await recover(node);
    expect(again.volumes).toMatchObject([{ name: 'a', outcome: 'recovered', snapshots: 0 }]);
    expect(again.onRecord).toBe(1);
    expect(node.done).toEqual(['n1 snapshot.delete']);
    expect((await volumes.read(half.id))?.value).toMatchObject({ snapshots: [], headParent: null });
  });

  it('keeps a volume in doubt until its nodes tell, and takes a typing error for one', async () => {
    const replicas = [newReplica('rep-of-vol-aaaaaaaaaaaa', 'n1'), newReplica('r2', 'n2')];
    const a = recordOf('vol-aaaaaaaaaaaa', 'a', { replicas });
    const node = new OneNode([surveyOf(a)]);
    expect((await recover(node)).volumes).toMatchObject([{ outcome: 'in-doubt' }]);
    expect(await recover(node)).toMatchObject({
      changed: false,
      volumes: [{ outcome: 'in-doubt' }],
    });
    const claim = { type: 'claim', operation: 'op' } as const;
    const refused = await volumes.change(a.id, 'op', [claim], 'test').catch(toLariatError);
    expect(refused).toMatchObject({ code: 'VOLUME_IN_DOUBT' });
    // What its engine reports meanwhile makes it no newer than the copies.
    const lost = { type: 'fault-replica', replica: 'r2', reason: 'lost', atMs: 1 } as const;
    const reported = await volumes.change(a.id, null, [lost], 'test');
    expect(reported).toMatchObject({ revision: 4, replicas: [{ mode: 'RW' }, { mode: 'ERR' }] });
    const replicaBack = { ...surveyOf(a), replicas: [found('rep-of-vol-aaaaaaaaaaaa')] };
    expect((await recover(new OneNode([replicaBack]))).volumes[0]?.notes.join()).not.toContain(
      'newer than all copies',
    );
    const mistyped = await recover(node, false, ['aa']).catch(toLariatError);
    expect(mistyped).toMatchObject({ code: 'VOLUME_NOT_FOUND' });

    expect((await recover(node, false, ['a'])).volumes).toMatchObject([{ outcome: 'recovered' }]);
    const { inDoubt, clean, replicas: after } = await volumes.find('a');
    expect({ inDoubt, clean }).toEqual({ inDoubt: undefined, clean: false });
    expect(after.map(({ mode }) => mode)).toEqual(['RW', 'ERR']);
  });

  it('does not bring back a volume that was deleted', async () => {
    const a = recordOf('vol-aaaaaaaaaaaa', 'a');
    await volumes.create(a, 'test');
    await volumes.remove(a.id, 'deleted', 'test');
    const report = await recover(new OneNode([surveyOf(a)]));
    expect(report).toMatchObject({ changed: false, onRecord: 0, volumes: [] });
    expect(await volumes.read(a.id)).toBeUndefined();
  });

  describe('of a volume that was being cloned', () => {
    const clone = {
      volume: 'vol-cccccccccccc',
      name: 'c',
      snapshot: 's',
      state: 'creating',
    } as const;
    const source = recordOf('vol-aaaaaaaaaaaa', 'a', {
      snapshots: [{ id: 's', name: 's', sizeBytes: 1, createdAt: '', parent: null, user: true }],
      headParent: 's',
      clones: [{ ...clone, operation: 'op-clone' }],
    });
    const whole = surveyOf(recordOf(clone.volume, 'c'));
    const clonesOf = async () => (await volumes.read(source.id))?.value.clones;

    it('takes the clone for ready when it is found, and can delete the source again', async () => {
      const node = new OneNode([surveyOf(source, ['s']), whole]);
      expect((await recover(node, true)).volumes[0]?.notes.join()).toContain("'c' is whole");
      expect(await clonesOf()).toBeUndefined();
      expect((await recover(node)).volumes).toMatchObject([
        { name: 'a', outcome: 'recovered' },
        { name: 'c', outcome: 'recovered' },
      ]);
      expect(await clonesOf()).toMatchObject([{ volume: clone.volume, state: 'ready' }]);
      expect(await recover(node)).toMatchObject({ changed: false, onRecord: 2 });
    });

    it('forgets a clone that is nowhere, once every node has said so', async () => {
      const node = new OneNode([surveyOf(source, ['s'])]);
      isOneAway = true;
      const first = await recover(node);
      expect(first.volumes[0]?.notes.join()).toMatch(/'c' was whole is not known yet.*n9/);
      expect(await clonesOf()).toMatchObject([{ state: 'creating' }]);
      isOneAway = false;
      // The source is on record by now: what is left of it is settled all the same.
      expect(await recover(node)).toMatchObject({
        changed: true,
        volumes: [{ name: 'a', outcome: 'recovered' }],
      });
      expect(await clonesOf()).toBeUndefined();
    });

    it('settles one that was noted before operations were, unless its operation still runs', async () => {
      const old = { ...clone, volume: deriveVolumeId('op-clone') };
      await volumes.create({ ...source, clones: [old] }, 'test');
      const node = new OneNode([surveyOf(source, ['s'])]);
      runs.add('op-other').add('op-clone');
      await recover(node);
      expect(await clonesOf()).toEqual([old]);
      runs.delete('op-clone');
      const made = new OneNode([surveyOf(source, ['s']), surveyOf(recordOf(old.volume, 'c'))]);
      expect((await recover(made)).volumes[0]?.notes.join()).toContain("'c' is whole");
      expect(await clonesOf()).toEqual([{ ...old, state: 'ready' }]);
    });

    it('forgets an image that was being made, unless its import still runs', async () => {
      const image = { ...clone, kind: 'image', volume: 'img-1', operation: 'op-import' } as const;
      await volumes.create({ ...source, clones: [image] }, 'test');
      const node = new OneNode([surveyOf(source, ['s'])]);
      // Nobody need be asked who may have it: it shares nothing.
      isOneAway = true;
      runs.add('op-import');
      await recover(node);
      expect(await clonesOf()).toEqual([image]);
      runs.delete('op-import');
      expect((await recover(node, true)).volumes[0]?.notes.join()).toContain("image 'c'");
      expect(await clonesOf()).toEqual([image]);
      await recover(node);
      expect(await clonesOf()).toBeUndefined();
      isOneAway = false;
    });

    it('leaves a clone alone that is being made', async () => {
      runs.add('op-clone');
      await volumes.create(source, 'test');
      const node = new OneNode([surveyOf(source, ['s'])]);
      await recover(node);
      expect(await clonesOf()).toEqual(source.clones);
    });
  });
});
