import { type VolumeChange, type VolumeRecord, hasCode } from '@lariat/contracts';
import { type NodeAccess, type StepContext, isDeclaredGone } from '@lariat/saga';

/** What the changes of a volume need of a step's context. */
export type OnVolume = Pick<
  StepContext<{ readonly volume: string }, unknown>,
  'operation' | 'input' | 'client'
>;

/** Changes the volume's record, which volume-svc alone writes, as the operation that holds it. */
export function changeVolume(
  { operation, input, client }: OnVolume,
  changes: readonly VolumeChange[],
): Promise<VolumeRecord> {
  return client.request('internal.volume.change', {
    volume: input.volume,
    operation,
    changes: [...changes],
  });
}

/**
 * As `changeVolume`, for what must not keep an operation from its end: an undo, or a step behind the point of no return.
 * False when the change could not be kept beside the replicas, and nothing is to be waited for: the volume is in doubt, and
 * a recovery waits for the operation to end; or all nodes of its in-sync set are declared gone (invariant 8). The record is
 * changed all the same; nothing that may have counted is to be deleted then.
 */
export async function settleVolume(
  context: OnVolume & NodeAccess,
  changes: readonly VolumeChange[],
): Promise<boolean> {
  try {
    await changeVolume(context, changes);
    return true;
  } catch (error) {
    if (hasCode(error, 'VOLUME_IN_DOUBT')) return false;
    if (hasCode(error, 'LEG_UNREACHABLE') && (await areMembersGone(context))) return false;
    throw error;
  }
}

async function areMembersGone(context: OnVolume & NodeAccess): Promise<boolean> {
  const { volume } = context.input;
  const record = await context.client.request('internal.volume.record', { volume, fresh: true });
  const members = record.replicas.filter(({ mode }) => mode === 'RW');
  const gone = await Promise.all(members.map(({ node }) => isDeclaredGone(context, node)));
  return gone.every(Boolean);
}

/** Takes the volume for the operation; rejects while another one holds it. */
export const claimVolume = (context: OnVolume): Promise<VolumeRecord> =>
  changeVolume(context, [{ type: 'claim', operation: context.operation }]);

/** Lets the volume go; one that the operation does not hold any more stays as it is. */
export const releaseVolume = (context: OnVolume): Promise<VolumeRecord> =>
  changeVolume(context, [{ type: 'release', operation: context.operation }]);
