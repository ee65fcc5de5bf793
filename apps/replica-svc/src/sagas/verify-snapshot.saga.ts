import {
  type SnapshotRecord,
  type VerificationVerdict,
  type VolumeChange,
  type VolumeRecord,
  hasCode,
  lariatError,
} from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  RETRY_UNTIL_KNOWN,
  outcomeOf,
  type SagaDefinition,
  type SagaStep,
  type StepContext,
  whileWanted,
} from '@lariat/saga';
import { type CopySum, judgeChecksums } from '../domain/judge-checksums.js';
import { findVolume } from './find-volume.js';
import { changeVolume, changeWhileLive, claimVolume, releaseVolume } from './hold-volume.js';
import { leaveEngine } from './leave-engine.js';
import { READ_TIMEOUT_MS, readReplicas } from './read-replicas.js';
import type { RebuildDeps } from './rebuild-memory.js';

export interface VerifySnapshotInput {
  readonly volume: string;
  /** Its id. */
  readonly snapshot: string;
  readonly repair: boolean;
}

interface VerifySnapshotMemory {
  readonly sums: readonly CopySum[];
  readonly verdict: VerificationVerdict;
  readonly sha256: string | null;
  /** Replicas that were found to be wrong, and left the in-sync set for it. */
  readonly odd: readonly string[];
  readonly engine: { readonly node: string; readonly epoch: number } | null;
}

type Context = StepContext<VerifySnapshotInput, VerifySnapshotMemory>;
type Step = SagaStep<VerifySnapshotInput, VerifySnapshotMemory>;

const RECORD_TIMEOUT_MS = 10_000;
const REBUILD_TIMEOUT_MS = 24 * 3_600_000;

/**
 * Reads a snapshot whole on every healthy replica and compares. A replica whose copy is not what the others hold, or
 * what was found before, leaves the in-sync set: its head stands on wrong clusters too. It is made anew from the
 * others, and read again. Where nothing tells which is right nothing is done.
 */
export function verifySnapshotSaga(
  deps: RebuildDeps,
): SagaDefinition<VerifySnapshotInput, VerifySnapshotMemory> {
  return {
    kind: 'snapshot.verify',
    // Not `volume/…`: the rebuild that it asks for is on that.
    subjectOf: (input) => `snapshot-verify/${input.volume}`,
    steps: [
      {
        name: 'claim',
        waitsFor: 'the volume to be free',
        timeoutMs: RECORD_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const record = await claimVolume(context);
          requireSnapshot(record, context.input.snapshot);
          const { attachment } = record;
          return {
            engine: attachment === null ? null : { node: attachment.node, epoch: attachment.epoch },
          };
        },
        undo: async (context) => {
          await releaseVolume(context);
        },
      },
      {
        name: 'read',
        waitsFor: 'all replicas to be read',
        timeoutMs: READ_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { volume, snapshot } = context.input;
          const record = await findVolume(deps, volume);
          // Each copy is read in a lane of its own on its node: what reads on is in nobody's way.
          return { sums: await whileWanted(context, readReplicas(context, record, snapshot)) };
        },
      },
      judgeStep(deps),
      {
        name: 'leave-engine',
        waitsFor: (_input, { engine }) => `the engine on ${engine?.node ?? 'no node'}`,
        timeoutMs: 30_000,
        retry: RETRY_UNTIL_DONE,
        run: async (context) => {
          const { engine = null, odd = [] } = context.memory;
          if (engine === null) return;
          // An engine with no other leg keeps this one and tells so by failing writes; nothing better is known.
          for (const replica of odd) await leaveEngine(context, engine, replica);
        },
      },
      {
        name: 'release',
        waitsFor: 'the volume to be let go',
        timeoutMs: RECORD_TIMEOUT_MS,
        retry: RETRY_UNTIL_DONE,
        run: async (context) => {
          await releaseVolume(context);
        },
      },
      {
        name: 'rebuild',
        waitsFor: (_input, { odd = [] }) =>
          odd.length === 0 ? 'nothing' : `${odd.join(', ')} to be made anew`,
        timeoutMs: REBUILD_TIMEOUT_MS,
        retry: { ...RETRY_BRIEFLY, attempts: 20 },
        run: rebuildOdd,
      },
    ],
    result: (input, { sums = [], verdict = 'undecided', sha256 = null }): Json => ({
      volume: input.volume,
      snapshot: input.snapshot,
      verdict,
      sha256,
      replicas: sums.map((sum) => ({
        ...sum,
        isRight: sha256 === null ? null : sum.sha256 === sha256,
      })),
    }),
  };
}

function judgeStep(deps: RebuildDeps): Step {
  return {
    name: 'judge',
    waitsFor: 'the outcome to be recorded',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_UNTIL_KNOWN,
    run: async (context) => {
      const { sums = [] } = context.memory;
      const { repair, volume } = context.input;
      const snapshot = requireSnapshot(await findVolume(deps, volume), context.input.snapshot);
      const judged = judgeChecksums(sums, snapshot.sha256);
      if (judged.kind === 'undecided') return { verdict: 'undecided', sha256: null, odd: [] };
      const { sha256 } = judged;
      const proven: VolumeChange = { type: 'set-checksum', snapshot: snapshot.id, sha256 };
      if (judged.kind === 'identical') {
        if (judged.isProven) await changeVolume(context, [proven]);
        return { verdict: 'identical', sha256, odd: [] };
      }
      if (!repair) return { verdict: 'differs', sha256, odd: [] };
      const atMs = deps.clock.nowMs();
      const faults = judged.odd.map(({ replica, sha256: found }): VolumeChange => ({
        type: 'fault-replica',
        replica,
        atMs,
        reason: `its copy of snapshot '${snapshot.name}' has SHA-256 ${found}; ${sha256} is right`,
      }));
      await changeWhileLive(context, [proven, ...faults]);
      return { verdict: 'repaired', sha256, odd: judged.odd.map(({ replica }) => replica) };
    },
  };
}

async function rebuildOdd(context: Context): Promise<void> {
  const { client, input, memory } = context;
  for (const replica of memory.odd ?? []) {
    try {
      // A disk that has changed what it held is not asked for the rest: another one is taken where there is one.
      const request = { volume: input.volume, replica, reuse: false, wait: false };
      await outcomeOf(context, await client.request('replica.rebuild', request));
    } catch (error) {
      // Done by the reconciler, or by an earlier run of this step.
      if (!hasCode(error, 'VOLUME_HEALTHY', 'REPLICA_NOT_FOUND')) throw error;
    }
  }
}

function requireSnapshot(record: VolumeRecord, id: string): SnapshotRecord {
  const found = record.snapshots.find((snapshot) => snapshot.id === id);
  if (found !== undefined) return found;
  throw lariatError('SNAPSHOT_NOT_FOUND', `Volume '${record.name}' has no snapshot '${id}'.`, {
    volume: record.id,
    snapshot: id,
  });
}
