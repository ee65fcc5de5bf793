import type { VolumeRecord } from '@lariat/contracts';
import { type StepContext, commandWhileLive } from '@lariat/saga';
import type { CopySum } from '../domain/judge-checksums.js';
import { inSyncReplicas } from './rebuild-memory.js';

export const READ_TIMEOUT_MS = 6 * 3_600_000;

/**
 * The SHA-256 of the snapshot on every replica in sync, each read whole on its own node; `snapshot` null: of the heads.
 * Ends when a node is declared gone.
 */
export function readReplicas(
  context: StepContext<unknown, unknown>,
  record: VolumeRecord,
  snapshot: string | null,
): Promise<readonly CopySum[]> {
  return Promise.all(
    inSyncReplicas(record).map(async ({ id, node }) => {
      const input = { replica: id, volume: record.id, snapshot };
      const { sha256 } = await commandWhileLive(context, node, 'replica.checksum', input, {
        key: id,
      });
      return { replica: id, node, sha256 };
    }),
  );
}
