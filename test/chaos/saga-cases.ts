import type { VolumeRecord } from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import { vi } from 'vitest';
import type { ImaginedAgents } from './imagined-agents.js';
import {
  type Asked,
  ImaginedWorld,
  faultedOn,
  imaginedAttached,
  imaginedVolume,
} from './imagined-world.js';

export interface Case {
  readonly kind: string;
  readonly volume: () => VolumeRecord | null;
  readonly input: Json;
}

const onVolume = (rest: { readonly [key: string]: Json } = {}): Json => ({
  volume: 'vol-1',
  ...rest,
});
const placement = {
  ...{ node: 'hard', zone: 'soft', disk: 'hard', nodeTags: [], diskTags: [] },
};
const attach = { node: 'n2', frontend: 'nbd' };

/** Each saga, from each kind of volume that it treats in its own way. */
export const CASES: Readonly<Record<string, Case>> = {
  create: {
    kind: 'volume.create',
    volume: () => null,
    input: { name: 'v1', sizeBytes: 1024 ** 2, replicas: 3, labels: {}, placement },
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
  },
  'attach by force': {
    kind: 'volume.attach',
    volume: () => imaginedAttached(),
    input: onVolume({ ...attach, force: true }),
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
};

/** After the last node that is silent was declared down, an operation ends within this, forward or back. */
const END_MS = 120_000;
export const FOR_EVER_MS = 10 ** 9;

export interface Outcome {
  readonly state: string;
  readonly error: string | undefined;
  readonly sent: readonly string[];
  readonly asked: readonly Asked[];
  /** What the operation works on; nothing else that changes it runs meanwhile. */
  readonly subject: string;
  readonly volume: VolumeRecord | null;
  /** Since the nodes' fate was known; 0 when it ended before. */
  readonly afterMs: number;
}

/** Runs the operation to its end, in virtual time: vitest's fake timers must be in use. */
export async function live(
  { kind, volume, input }: Case,
  agents: ImaginedAgents,
): Promise<Outcome> {
  const world = new ImaginedWorld(volume(), agents);
  const id = await world.start(kind, input);
  const begunMs = Date.now();
  const late = (): number => Date.now() - Math.max(begunMs, agents.settledAtMs());
  while (world.hasEnded(id) === undefined && late() < END_MS)
    await vi.advanceTimersByTimeAsync(100);
  const { state, stepName, lastError, subject } = world.operation(id);
  const afterMs = late();
  const stopped = world.stop();
  await vi.advanceTimersByTimeAsync(10_000);
  await stopped;
  const at = stepName === null ? state : `${state} at ${stepName}`;
  return {
    state: at,
    error: lastError?.message,
    sent: agents.sent.map(({ node, command }) => `${command} to ${node}`),
    asked: world.asked,
    subject,
    volume: world.volume,
    afterMs,
  };
}
