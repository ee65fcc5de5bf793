import type { SurveyedReplica, SurveyedVolume, VolumeRecord } from '@lariat/contracts';
import { newReplica, newVolumeRecord } from '../volume-record.test-support.js';
import type { NodeAnswer } from './evidence.js';

export const VOLUME = 'vol-0123456789ab';

export const NO_HEAD: SurveyedReplica['head'] = {
  ...{ presence: 'absent', uuid: null, sizeBytes: 0, parent: null, madeBy: null },
};

/** A replica that is there, with a chain of snapshots, oldest first. */
export function found(
  replica: string,
  snapshots: readonly string[] = [],
  given: Partial<SurveyedReplica> = {},
): SurveyedReplica {
  const sizeBytes = 1024 ** 2;
  const present = { presence: 'present', uuid: 'u', sizeBytes, madeBy: null } as const;
  return {
    replica,
    disk: 'd',
    head: { ...present, parent: snapshots.at(-1) ?? null },
    snapshots: snapshots.map((snapshot, at) => ({
      ...present,
      snapshot,
      parent: snapshots[at - 1] ?? null,
    })),
    exported: [],
    scratches: [],
    ...given,
  };
}

export function tells(
  node: string,
  record: VolumeRecord | null,
  replicas: readonly SurveyedReplica[],
  given: Partial<SurveyedVolume> = {},
): NodeAnswer {
  const volume: SurveyedVolume = {
    volume: VOLUME,
    record,
    replicas,
    engine: null,
    epoch: 0,
    ...given,
  };
  return { ...answers(node), volumes: [volume] };
}

/** A node that knows its disk, and of no volume. */
export const answers = (node: string): Extract<NodeAnswer, { answered: true }> => ({
  node,
  answered: true,
  disks: [`disk-of-${node}`],
  volumes: [],
  images: [],
});

export const silent = (node: string): NodeAnswer => ({ node, answered: false, reason: 'down' });

/** r1 on n1, r2 on n2, r3 on n3, with their modes. */
export const withModes = (
  modes: readonly ('RW' | 'WO' | 'ERR')[],
  given: Partial<VolumeRecord> = {},
): VolumeRecord =>
  newVolumeRecord({
    revision: 10,
    replicas: modes.map((mode, at) => ({
      ...newReplica(`r${at + 1}`, `n${at + 1}`),
      mode,
      ...(mode === 'ERR' ? { reason: 'lost', faultedAtMs: 1 } : {}),
    })),
    ...given,
  });
