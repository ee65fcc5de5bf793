import { lariatError } from '@lariat/contracts';

const FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT']);

/** That there is no room for the temporary files of imports, which an operator can mend. */
export function scratchFull(folder: string, cause?: unknown): Error {
  return lariatError(
    'IMAGE_SCRATCH_FULL',
    `the disk with ${folder}, where imports keep temporary files, is full; free space there, or name a folder on a larger disk with LARIAT_IMAGE_SCRATCH`,
    { folder },
    cause,
  );
}

/** What the work on files in the folder comes to; a full disk is told as such. */
export async function onScratch<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (reason) {
    throw FULL.has((reason as NodeJS.ErrnoException).code) ? scratchFull(folder, reason) : reason;
  }
}
