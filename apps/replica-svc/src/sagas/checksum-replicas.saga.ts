import { RETRY_BRIEFLY, RETRY_UNTIL_DONE, type SagaDefinition, whileWanted } from '@lariat/saga';
import type { CopySum } from '../domain/judge-checksums.js';
import { claimVolume, releaseVolume } from './hold-volume.js';
import { READ_TIMEOUT_MS, readReplicas } from './read-replicas.js';

export interface ChecksumInput {
  readonly volume: string;
  /** Id of a snapshot; null: the heads of a detached volume. */
  readonly snapshot: string | null;
}

interface ChecksumMemory {
  readonly sums: readonly CopySum[];
}

/** Reads every healthy replica whole, on its own node. The volume is held, so that no attach changes it meanwhile. */
export function checksumReplicasSaga(): SagaDefinition<ChecksumInput, ChecksumMemory> {
  return {
    kind: 'replica.checksum',
    subjectOf: (input) => `volume/${input.volume}`,
    steps: [
      {
        name: 'claim',
        waitsFor: 'the volume to be free',
        timeoutMs: 10_000,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          await claimVolume(context);
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
          const record = await context.client.request('internal.volume.record', {
            volume,
            fresh: true,
          });
          const read = readReplicas(context, record, snapshot);
          // Of a head: it is in the way of the next attach, which must not find the volume free before its end.
          return { sums: await (snapshot === null ? read : whileWanted(context, read)) };
        },
      },
      {
        name: 'finish',
        waitsFor: 'the volume to be let go',
        timeoutMs: 10_000,
        retry: RETRY_UNTIL_DONE,
        run: async (context) => {
          await releaseVolume(context);
        },
      },
    ],
    result: (input, { sums = [] }) => ({
      volume: input.volume,
      snapshot: input.snapshot,
      identical: new Set(sums.map(({ sha256 }) => sha256)).size <= 1,
      replicas: sums.map((sum) => ({ ...sum })),
    }),
  };
}
