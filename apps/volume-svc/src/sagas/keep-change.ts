import { type VolumeRecord, hasCode } from '@lariat/contracts';
import { type NodeAccess, areMembersGone } from '@lariat/saga';
import type { SagaDeps } from './saga-deps.js';

/**
 * For a step behind the point of no return: keeps a change of the in-sync set beside the replicas before what follows
 * counts on it. Rejects, so that the step is run again, while no member's node keeps it. It ends without when all of them
 * are declared gone (invariant 8), and when the volume is in doubt: then nothing counts until a recovery, which waits
 * for the operation to end.
 */
export async function keepChange(
  { volumes }: Pick<SagaDeps, 'volumes'>,
  context: NodeAccess,
  record: VolumeRecord,
): Promise<void> {
  try {
    await volumes.confirm(record);
  } catch (error) {
    if (hasCode(error, 'VOLUME_IN_DOUBT')) return;
    if (!hasCode(error, 'LEG_UNREACHABLE') || !(await areMembersGone(context, record))) throw error;
  }
}
