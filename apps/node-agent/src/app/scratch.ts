import { scratchNqn } from '@lariat/contracts';
import { patchNqn } from '../domain/names.js';
import type { Exports } from './exports.js';
import type { Lvols } from './lvols.js';

/** Takes a replica's scratch lvol away, with all that leads to it: its export and that of a patch. */
export async function removeScratch(
  { lvols, exports }: { readonly lvols: Lvols; readonly exports: Exports },
  replica: string,
): Promise<void> {
  await exports.remove(patchNqn(replica));
  await exports.remove(scratchNqn(replica));
  const scratch = lvols.recordOf(replica, 'scratch');
  if (scratch !== undefined) await lvols.remove(scratch);
}
