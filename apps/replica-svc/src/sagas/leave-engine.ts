import { hasCode } from '@lariat/contracts';
import { type NodeAccess, cleanUp } from '@lariat/saga';
import type { OnVolume } from './hold-volume.js';

/**
 * Takes a replica that the volume's record counts on no more out of the running engine. The record comes first: a
 * leg that leaves while the record has it in sync would miss writes that the record says it has (invariant 4).
 * False when the engine keeps it, as it has lost all others and is about to say so.
 */
export async function leaveEngine(
  context: NodeAccess & OnVolume,
  engine: { readonly node: string; readonly epoch: number },
  replica: string,
): Promise<boolean> {
  const input = { volume: context.input.volume, epoch: engine.epoch, replica };
  try {
    await cleanUp(context, engine.node, 'engine.remove-leg', input, replica);
    return true;
  } catch (error) {
    if (hasCode(error, 'LAST_REPLICA')) return false;
    throw error;
  }
}
