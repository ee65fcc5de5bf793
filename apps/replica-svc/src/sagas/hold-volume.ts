import { type VolumeChange, type VolumeRecord, hasCode } from '@lariat/contracts';
import type { StepContext } from '@lariat/saga';

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
 * False when the volume is in doubt: nothing that counted may be taken away then, and a recovery, which waits for the
 * operation to end, settles the rest.
 */
export async function settleVolume(
  context: OnVolume,
  changes: readonly VolumeChange[],
): Promise<boolean> {
  try {
    await changeVolume(context, changes);
    return true;
  } catch (error) {
    if (hasCode(error, 'VOLUME_IN_DOUBT')) return false;
    throw error;
  }
}

/** Takes the volume for the operation; rejects while another one holds it. */
export const claimVolume = (context: OnVolume): Promise<VolumeRecord> =>
  changeVolume(context, [{ type: 'claim', operation: context.operation }]);

/** Lets the volume go; one that the operation does not hold any more stays as it is. */
export const releaseVolume = (context: OnVolume): Promise<VolumeRecord> =>
  changeVolume(context, [{ type: 'release', operation: context.operation }]);
