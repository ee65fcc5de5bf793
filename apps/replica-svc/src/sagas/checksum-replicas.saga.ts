import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
  commandWhileLive,
} from '@lariat/saga';
import { claimVolume, releaseVolume } from './hold-volume.js';
import { inSyncReplicas } from './rebuild-memory.js';

export interface ChecksumInput {
  readonly volume: string;
  /** Id of a snapshot; null: the heads of a detached volume. */
  readonly snapshot: string | null;
}

interface ChecksumMemory {
  readonly sums: readonly {
    readonly replica: string;
    readonly node: string;
    readonly sha256: string;
  }[];
}

const READ_TIMEOUT_MS = 6 * 3_600_000;

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
          const sums = await Promise.all(
            inSyncReplicas(record).map(async ({ id, node }) => {
              const input = { replica: id, volume, snapshot };
              const options = { key: id };
              const { sha256 } = await commandWhileLive(
                context,
                node,
                'replica.checksum',
                input,
                options,
              );
              return { replica: id, node, sha256 };
            }),
          );
          return { sums };
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
      replicas: sums,
    }),
  };
}
