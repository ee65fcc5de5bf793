import { type VolumeChange, type VolumeRecord, hasCode, lariatError } from '@lariat/contracts';
import { type StepContext, areMembersGone } from '@lariat/saga';

/** What the changes of a volume need of a step's context. */
export type OnVolume = Pick<
  StepContext<{ readonly volume: string }, unknown>,
  'operation' | 'input' | 'client' | 'command' | 'log'
>;

/**
 * Changes the volume's record, which volume-svc alone writes, as the operation that holds it. A change of who counts is
 * answered when a member of the in-sync set keeps it, and is LEG_UNREACHABLE until then.
 */
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
 * The same; VOLUME_FAULTED, and no more tries, when all nodes of the in-sync set are declared gone (invariant 8). The record
 * is changed all the same then, so it is for changes that an undo takes back.
 */
export async function changeWhileLive(
  context: OnVolume,
  changes: readonly VolumeChange[],
): Promise<VolumeRecord> {
  try {
    return await changeVolume(context, changes);
  } catch (error) {
    if (!hasCode(error, 'LEG_UNREACHABLE')) throw error;
    const { volume } = context.input;
    const record = await context.client.request('internal.volume.record', { volume, fresh: true });
    if (!(await areMembersGone(context, record))) throw error;
    throw lariatError(
      'VOLUME_FAULTED',
      `All nodes with a healthy replica of volume ${volume} are down: bring one of them back.`,
      { volume },
      error,
    );
  }
}

/**
 * The same, for what must not keep an operation from its end: an undo, or a step behind the point of no return.
 * False when the change could not be kept beside the replicas, and nothing is to be waited for: the volume is in doubt, and
 * a recovery waits for the operation to end; or all nodes of its in-sync set are declared gone. Nothing that may have
 * counted is to be deleted then.
 */
export async function settleVolume(
  context: OnVolume,
  changes: readonly VolumeChange[],
): Promise<boolean> {
  try {
    await changeWhileLive(context, changes);
    return true;
  } catch (error) {
    if (hasCode(error, 'VOLUME_IN_DOUBT', 'VOLUME_FAULTED')) return false;
    throw error;
  }
}

/** Takes the volume for the operation; rejects while another one holds it. */
export const claimVolume = (context: OnVolume): Promise<VolumeRecord> =>
  changeVolume(context, [{ type: 'claim', operation: context.operation }]);

/** Lets the volume go; one that the operation does not hold any more stays as it is. */
export const releaseVolume = (context: OnVolume): Promise<VolumeRecord> =>
  changeVolume(context, [{ type: 'release', operation: context.operation }]);
