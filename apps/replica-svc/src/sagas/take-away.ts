import { hasCode, positionOf } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import { type NodeAccess, cleanUp } from '@lariat/saga';
import type { OnVolume } from './hold-volume.js';
import type { RebuildDeps } from './rebuild-memory.js';

/** The node may have heard of a change, of the attachment say, that was made after the record was read. */
const TRIES = 5;
const RETRY_MS = 200;

/**
 * Takes a replica, or its unfinished head, away, unless its node knows more of the volume than the store: then the store was
 * set back, which the node's inventory tells as well, and a recovery decides. A node that is declared gone is not waited for.
 */
export async function takeAway(
  { volumes }: Pick<RebuildDeps, 'volumes'>,
  context: NodeAccess & OnVolume,
  command: 'replica.delete' | 'rebuild.discard-head',
  { id: replica, node }: { readonly id: string; readonly node: string },
): Promise<void> {
  const { volume } = context.input;
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    const found = await volumes.fresh(volume);
    // The sweep knows whether it was deleted.
    if (found === undefined) return;
    const record = positionOf(found);
    const key = `${replica}/${record.generation}.${record.revision}.${attempt}`;
    try {
      await cleanUp(context, node, command, { replica, volume, record }, key);
      return;
    } catch (error) {
      if (!hasCode(error, 'RECORD_STALE')) throw error;
    }
    await delay(RETRY_MS);
  }
  context.log.warn('left in place: its node keeps a newer record than the store', {
    ...{ operation: context.operation, volume, node, replica },
  });
}
