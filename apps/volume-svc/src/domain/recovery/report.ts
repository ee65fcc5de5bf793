import {
  MAX_REPORTED_IMAGES,
  MAX_REPORTED_VOLUMES,
  type RecoveredImage,
  type RecoveredVolume,
  type RecoveryOutcome,
  type RecoveryReport,
  type VolumeRecord,
  robustnessOf,
} from '@lariat/contracts';
import type { NodeAnswer } from './evidence.js';

export function describeVolume(
  id: string,
  record: VolumeRecord | null,
  outcome: RecoveryOutcome,
  notes: readonly string[],
): RecoveredVolume {
  return {
    id,
    name: record?.name ?? id,
    outcome,
    state: record?.state ?? null,
    robustness: record === null ? 'unknown' : robustnessOf(record),
    sizeBytes: record?.sizeBytes ?? 0,
    snapshots: record?.snapshots.filter(({ user }) => user).length ?? 0,
    replicas: (record?.replicas ?? []).map(({ id: replica, node, mode, reason }) => ({
      id: replica,
      node,
      mode,
      reason,
    })),
    notes,
  };
}

export interface Tally {
  readonly dryRun: boolean;
  readonly answers: readonly NodeAnswer[];
  readonly volumes: readonly RecoveredVolume[];
  readonly images: readonly RecoveredImage[];
  /** Whether a record was, or would be, written. */
  readonly written: boolean;
  readonly names: number;
  readonly allocations: number;
}

export function reportOf(tally: Tally): RecoveryReport {
  const { dryRun, answers, written, names, allocations } = tally;
  const others = notOnRecord(tally.volumes);
  const images = notOnRecord(tally.images);
  return {
    dryRun,
    changed: written || names > 0 || allocations > 0,
    nodes: answers.map((answer) => ({
      node: answer.node,
      answered: answer.answered,
      reason: answer.answered ? null : answer.reason,
      volumes: answer.answered ? answer.volumes.length : 0,
      images: answer.answered ? answer.images.length : 0,
    })),
    onRecord: tally.volumes.length - others.length,
    volumes: others.slice(0, MAX_REPORTED_VOLUMES),
    omittedVolumes: Math.max(0, others.length - MAX_REPORTED_VOLUMES),
    imagesOnRecord: tally.images.length - images.length,
    images: images.slice(0, MAX_REPORTED_IMAGES),
    omittedImages: Math.max(0, images.length - MAX_REPORTED_IMAGES),
    names,
    allocations,
  };
}

const notOnRecord = <T extends Pick<RecoveredVolume, 'outcome' | 'name'>>(
  all: readonly T[],
): readonly T[] =>
  all
    .filter(({ outcome }) => outcome !== 'on-record')
    .toSorted((a, b) => a.name.localeCompare(b.name));
