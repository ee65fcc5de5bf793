import type { ImageRecord, OperationView, VolumeRecord } from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import { DECLARED_DOWN_WITHIN_MS } from '@lariat/replica-svc';
import { RETRY_BRIEFLY } from '@lariat/saga';
import { vi } from 'vitest';
import type { ImaginedAgents } from './imagined-agents.js';
import {
  DEAD_NODE,
  IMAGE,
  faultedOn,
  imaginedAttached,
  imaginedImageOn,
  imaginedOnDeadNode,
  imaginedVolume,
  withOddCopy,
  withOddImageCopy,
} from './imagined-records.js';
import { type Asked, ImaginedWorld } from './imagined-world.js';

export interface Case {
  readonly kind: string;
  readonly volume: () => VolumeRecord | null;
  /** Beside the one that it works on. */
  readonly others?: () => readonly VolumeRecord[];
  readonly image?: () => ImageRecord;
  /** Of these only nodes keep a record. */
  readonly lostImages?: () => readonly ImageRecord[];
  readonly input: Json;
  /** How often a step of it may begin another operation; each ends within END_MS. Default: none is begun. */
  readonly begins?: number;
  /** What each node refuses, whenever it is asked. */
  readonly refusals?: ImaginedAgents['refusals'];
  /** What an undone operation does not put back: an engine that it stopped, replicas, which are rebuilt, copies of images. */
  readonly losesWhenUndone?: readonly ('engine' | 'replicas' | 'copies')[];
}

const onVolume = (rest: { readonly [key: string]: Json } = {}): Json => ({
  volume: 'vol-1',
  ...rest,
});
const placement = {
  ...{ node: 'hard', zone: 'soft', disk: 'hard', nodeTags: [], diskTags: [] },
};
const attach = { node: 'n2', frontend: 'nbd' };
/** Three replicas beside the source's, which are clones of them, and one elsewhere, which is a copy. */
const clone = (snapshot: string | null): Json => ({
  ...{ name: 'c1', sizeBytes: 1024 ** 2, replicas: 4, labels: {}, placement, qos: null },
  source: { volume: 'vol-1', snapshot },
});

/** A move of one replica; a volume that it holds then is waited for, and looked at again. */
const EVACUATIONS = 3;
/** How often an import may ask for a snapshot: each time is an operation. */
const LENDS = 10;
/** An import that does not run here: what is lent to it stays. */
export const BORROWER = 'op-i2';
const imageOf = (snapshot: string | null): Json => ({
  ...{ name: 'i2', source: { volume: { id: 'vol-1', name: 'v1', snapshot } } },
  ...{ checksum: null, format: null, minimumCopies: 1, labels: {} },
});

/** Each saga, from each kind of volume that it treats in its own way. */
export const CASES: Readonly<Record<string, Case>> = {
  create: {
    kind: 'volume.create',
    volume: () => null,
    input: { name: 'v1', sizeBytes: 1024 ** 2, replicas: 3, labels: {}, placement },
  },
  'create from an image': {
    kind: 'volume.create',
    volume: () => null,
    input: {
      ...{ name: 'v1', sizeBytes: 2 * 1024 ** 2, replicas: 3, labels: {}, placement },
      ...{ qos: null, image: IMAGE },
    },
  },
  delete: { kind: 'volume.delete', volume: () => imaginedVolume(), input: onVolume() },
  attach: {
    kind: 'volume.attach',
    volume: () => imaginedVolume(),
    input: onVolume({ ...attach, force: false }),
  },
  'attach after an unclean stop': {
    kind: 'volume.attach',
    volume: () => imaginedVolume({ clean: false }),
    input: onVolume({ ...attach, force: false }),
    losesWhenUndone: ['replicas'],
  },
  'attach by force': {
    kind: 'volume.attach',
    volume: () => imaginedAttached(),
    input: onVolume({ ...attach, force: true }),
    losesWhenUndone: ['engine', 'replicas'],
  },
  detach: { kind: 'volume.detach', volume: () => imaginedAttached(), input: onVolume() },
  expand: {
    kind: 'volume.expand',
    volume: () => imaginedVolume(),
    input: onVolume({ sizeBytes: 2 * 1024 ** 2 }),
  },
  'expand of an attached volume': {
    kind: 'volume.expand',
    volume: () => imaginedAttached(),
    input: onVolume({ sizeBytes: 2 * 1024 ** 2 }),
  },
  'snapshot of a detached volume': {
    kind: 'snapshot.create',
    volume: () => imaginedVolume(),
    input: onVolume({ snapshot: 's2' }),
  },
  'snapshot of an attached volume': {
    kind: 'snapshot.create',
    volume: () => imaginedAttached(),
    input: onVolume({ snapshot: 's2' }),
  },
  'snapshots of two volumes at one point': {
    kind: 'snapshot.create-group',
    volume: () => imaginedAttached(),
    others: () => [imaginedAttached({ id: 'vol-2', name: 'v2' })],
    input: { volumes: ['vol-1', 'vol-2'], snapshot: 's2' },
  },
  'delete a snapshot': {
    kind: 'snapshot.delete',
    volume: () => imaginedAttached(),
    input: onVolume({ snapshot: 'snp-1' }),
  },
  revert: {
    kind: 'snapshot.revert',
    volume: () => imaginedVolume(),
    input: onVolume({ snapshot: 'snp-1' }),
  },
  'rebuild of a detached volume': {
    kind: 'replica.rebuild',
    volume: () => imaginedVolume({ replicas: faultedOn('n3') }),
    input: onVolume({ replica: null }),
  },
  'rebuild of an attached volume': {
    kind: 'replica.rebuild',
    volume: () => imaginedAttached({ replicas: faultedOn('n3') }),
    input: onVolume({ replica: null }),
  },
  'rebuild of a volume with an image': {
    kind: 'replica.rebuild',
    volume: () => imaginedAttached({ replicas: faultedOn('n3'), image: IMAGE }),
    input: onVolume({ replica: null }),
  },
  'rebuild of a volume whose image is gone for good': {
    kind: 'replica.rebuild',
    volume: () => imaginedVolume({ replicas: faultedOn('n3'), image: 'img-gone' }),
    input: onVolume({ replica: null }),
  },
  'rebuild of a volume whose engine has lost all legs but the new one': {
    kind: 'replica.rebuild',
    volume: () => imaginedAttached({ replicas: faultedOn('n3') }),
    input: onVolume({ replica: null }),
    refusals: { 'engine.remove-leg': 'LAST_REPLICA' },
  },
  'remove a replica': {
    kind: 'replica.remove',
    volume: () => imaginedAttached(),
    input: onVolume({ replica: 'rep-n3' }),
  },
  checksum: {
    kind: 'replica.checksum',
    volume: () => imaginedVolume(),
    input: onVolume({ snapshot: null }),
  },
  'move a replica': {
    kind: 'replica.move',
    volume: () => imaginedAttached(),
    input: onVolume({ replica: 'rep-n3', toDisks: ['disk-of-n4'] }),
  },
  'more replicas': {
    kind: 'volume.scale',
    volume: () => imaginedAttached(),
    input: onVolume({ replicas: 4 }),
    begins: RETRY_BRIEFLY.attempts,
  },
  'fewer replicas': {
    kind: 'volume.scale',
    volume: () => imaginedAttached(),
    input: onVolume({ replicas: 2 }),
    losesWhenUndone: ['replicas'],
    begins: RETRY_BRIEFLY.attempts,
  },
  'limits of an attached volume': {
    kind: 'volume.update',
    volume: () => imaginedAttached(),
    input: onVolume({ qos: { rwIops: 1000, rwMbps: null, readMbps: null, writeMbps: null } }),
  },
  'verify a snapshot': {
    kind: 'snapshot.verify',
    volume: () => imaginedAttached(),
    input: onVolume({ snapshot: 'snp-1', repair: true }),
  },
  'verify a snapshot with a wrong copy': {
    kind: 'snapshot.verify',
    volume: () => imaginedAttached({ replicas: withOddCopy }),
    input: onVolume({ snapshot: 'snp-1', repair: true }),
    begins: 20,
  },
  'clone of a snapshot': {
    kind: 'volume.clone',
    volume: () => imaginedAttached(),
    input: clone('snp-1'),
  },
  'clone of what an attached volume holds': {
    kind: 'volume.clone',
    volume: () => imaginedAttached(),
    input: clone(null),
  },
  'clone of a volume with an image': {
    kind: 'volume.clone',
    volume: () => imaginedAttached({ image: IMAGE }),
    input: clone('snp-1'),
  },
  'add a disk': {
    kind: 'disk.add',
    volume: () => null,
    input: { node: 'n1', disk: 'd2', name: 'd2', path: '/d2', tags: [], sizeBytes: null },
  },
  'remove a disk': {
    kind: 'disk.remove',
    volume: () => null,
    input: { node: 'n1', disk: 'd2', removed: null },
  },
  'remove a disk that is emptied first': {
    kind: 'disk.remove',
    volume: () => imaginedVolume(),
    image: () => imaginedImageOn('n1', 'n2', 'n3'),
    input: { node: 'n3', disk: 'disk-of-n3', removed: null, evacuate: true },
    begins: EVACUATIONS,
    losesWhenUndone: ['replicas', 'copies'],
  },
  'drain a node': {
    kind: 'node.drain',
    volume: () => imaginedAttached(),
    image: () => imaginedImageOn('n1', 'n2', 'n3'),
    input: { node: 'n3', atOnce: 1 },
    begins: EVACUATIONS,
    losesWhenUndone: ['replicas', 'copies'],
  },
  "restart a node's target": {
    kind: 'node.restart-target',
    volume: () => null,
    input: { node: 'n1' },
  },
  'delete an orphan': {
    kind: 'orphan.delete',
    volume: () => null,
    input: {
      ...{ orphan: 'orph-1', record: null },
      thing: { node: 'n1', kind: 'lvol', name: 'd1/rep-9', uuid: 'u', disk: 'd1', volume: null },
    },
  },
  'remove a node': {
    kind: 'node.remove',
    volume: () => imaginedOnDeadNode(),
    input: { node: DEAD_NODE, acceptDataLoss: false, removed: {} },
    losesWhenUndone: ['engine', 'replicas'],
    begins: 2 * RETRY_BRIEFLY.attempts,
  },
  'import an image': {
    kind: 'image.create',
    volume: () => null,
    input: {
      ...{ name: 'i2', source: { url: 'http://images/i2' }, checksum: null, format: null },
      ...{ minimumCopies: 1, labels: {} },
    },
  },
  'import an image from a file of a node': {
    kind: 'image.create',
    volume: () => null,
    input: {
      ...{ name: 'i2', source: { file: { node: 'n2', path: '/i2' } }, checksum: null },
      ...{ format: null, minimumCopies: 1, labels: {} },
    },
  },
  'import an image of a snapshot': {
    kind: 'image.create',
    volume: () => imaginedVolume(),
    input: imageOf('snp-1'),
    begins: LENDS,
  },
  'import an image of what an attached volume holds': {
    kind: 'image.create',
    volume: () => imaginedAttached(),
    input: imageOf(null),
    begins: LENDS,
  },
  'lend a snapshot of a detached volume to an import': {
    kind: 'snapshot.lend',
    volume: () => imaginedVolume(),
    input: onVolume({ snapshot: null, image: 'img-2', name: 'i2', borrower: BORROWER }),
  },
  'spread an image': {
    kind: 'image.spread',
    volume: () => null,
    image: () => imaginedImageOn('n1', 'n2'),
    input: { image: IMAGE, node: 'n3', disk: 'disk-of-n3' },
  },
  'delete an image': {
    kind: 'image.delete',
    volume: () => null,
    image: () => imaginedImageOn('n1', 'n2', 'n3'),
    input: { image: IMAGE },
  },
  'verify an image': {
    kind: 'image.verify',
    volume: () => null,
    image: () => imaginedImageOn('n1', 'n2', 'n3'),
    input: { image: IMAGE, mibPerSecond: 0 },
  },
  'verify an image with a wrong copy': {
    kind: 'image.verify',
    volume: () => null,
    image: withOddImageCopy,
    input: { image: IMAGE, mibPerSecond: 0 },
  },
  recover: {
    kind: 'cluster.recover',
    volume: () => imaginedVolume({ image: IMAGE }),
    lostImages: () => [imaginedImageOn('n1', 'n2')],
    input: { acceptDataLoss: [] },
  },
};

/** What a node that is dead for good is on record with is finished within this of its death, in the world's own time. */
const FINISHED_WITHIN_MS = 60_000;
/** After the last node that is silent was declared down, an operation ends within this, forward or back. */
export const END_MS = FINISHED_WITHIN_MS - DECLARED_DOWN_WITHIN_MS;
export const FOR_EVER_MS = 10 ** 9;

export interface Outcome {
  readonly state: string;
  /** Whether it could be cancelled when that was asked for. */
  readonly wasCancelled: boolean;
  readonly error: string | undefined;
  readonly sent: readonly string[];
  readonly asked: readonly Asked[];
  /** Every volume that there is then. */
  readonly volumes: readonly VolumeRecord[];
  readonly images: readonly ImageRecord[];
  /** Since the nodes' fate was known; 0 when it ended before. */
  readonly afterMs: number;
}

/** Runs the operation to its end, in virtual time: vitest's fake timers must be in use. */
export async function live(
  { kind, volume, others = () => [], image, lostImages = () => [], input, ...rest }: Case,
  agents: ImaginedAgents,
  /** Cancels it, if it can be by then, when this command (counted from 0) is sent. */
  cancelAt?: number,
  /** Sees every operation that runs, again and again. */
  watch?: (operation: OperationView) => void,
): Promise<Outcome> {
  const { begins = 1, refusals = {} } = rest;
  agents.refusals = refusals;
  agents.lostImages = lostImages();
  const world = new ImaginedWorld(volume(), agents, image?.() ?? null, others());
  let id = '';
  let wasCancelled = false;
  agents.onSend = (index) => {
    if (index === cancelAt) wasCancelled = world.cancel(id);
  };
  id = await world.start(kind, input);
  const begunMs = Date.now();
  const late = (): number => Date.now() - Math.max(begunMs, agents.settledAtMs());
  while (world.hasEnded(id) === undefined && late() < begins * END_MS) {
    await vi.advanceTimersByTimeAsync(100);
    if (watch !== undefined) for (const operation of world.underWay()) watch(operation);
  }
  const { state, stepName, lastError } = world.operation(id);
  const afterMs = late();
  const stopped = world.stop();
  await vi.advanceTimersByTimeAsync(10_000);
  await stopped;
  const at = stepName === null ? state : `${state} at ${stepName}`;
  return {
    state: at,
    wasCancelled,
    error: lastError?.message,
    sent: agents.sent.map(({ node, command }) => `${command} to ${node}`),
    asked: world.asked,
    volumes: world.records(),
    images: world.imageRecords(),
    afterMs,
  };
}
