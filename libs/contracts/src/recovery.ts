import type { ReplicaMode, Robustness, VolumeState } from './volume.js';

/**
 * `on-record`: nothing to do. `recovered`: put back from what the nodes keep. `in-doubt`: put back, but faulted, since
 * nobody can tell whether what was found is the newest. `not-recovered`: left as it is, and `notes` say why.
 */
export const RecoveryOutcome = Object.freeze({
  onRecord: 'on-record',
  recovered: 'recovered',
  inDoubt: 'in-doubt',
  notRecovered: 'not-recovered',
} as const);
export type RecoveryOutcome = (typeof RecoveryOutcome)[keyof typeof RecoveryOutcome];

export interface RecoveredVolume {
  readonly id: string;
  readonly name: string;
  readonly outcome: RecoveryOutcome;
  readonly state: VolumeState | null;
  readonly robustness: Robustness;
  readonly sizeBytes: number;
  readonly snapshots: number;
  readonly replicas: readonly {
    readonly id: string;
    readonly node: string;
    readonly mode: ReplicaMode;
    readonly reason: string | null;
  }[];
  /** What was found, chosen and done, and why; for a person. */
  readonly notes: readonly string[];
}

/** What a recovery found and did; with `dryRun`, what it would do. */
export interface RecoveryReport {
  readonly dryRun: boolean;
  /** False: everything was on record already. */
  readonly changed: boolean;
  readonly nodes: readonly {
    readonly node: string;
    readonly answered: boolean;
    /** Why it did not answer. */
    readonly reason: string | null;
    readonly volumes: number;
  }[];
  /** How many volumes were on record, as they should be. */
  readonly onRecord: number;
  /** The others; at most MAX_REPORTED_VOLUMES. */
  readonly volumes: readonly RecoveredVolume[];
  readonly omittedVolumes: number;
  /** Names that were missing. */
  readonly names: number;
  /** Replicas whose space was not promised. */
  readonly allocations: number;
}

/** A report is stored with its operation and sent in one message. */
export const MAX_REPORTED_VOLUMES = 500;
