import { identifyContent, LABEL_AREA_BYTES, type LabelAreas } from '@lariat/kernel';
import { RpcError } from '../../rpc/rpc-error.js';
import type { Bdev } from '../bdev.js';
import { SUPERBLOCK_SIZE_BYTES } from './superblock.js';

/** A superblock's bytes in whole blocks. */
export function superblockLength(bdev: Bdev): number {
  return Math.max(SUPERBLOCK_SIZE_BYTES, bdev.blockSizeBytes);
}

export async function readLabelAreas(bdev: Bdev): Promise<LabelAreas> {
  const length = areaLength(bdev);
  return {
    first: await bdev.read(0, length),
    last: await bdev.read(bdev.sizeBytes - length, length),
  };
}

/** Throws EEXIST, as SPDK does for a superblock that it finds, and names what is there. */
export async function refuseContent(bdev: Bdev): Promise<void> {
  const found = identifyContent(await readLabelAreas(bdev));
  if (found.length === 0) return;
  throw RpcError.errno(
    'EEXIST',
    `bdev ${bdev.name} is not empty: it holds ${found.join(', ')}; give lariat_overwrite true to lose that`,
  );
}

/**
 * Zeros both ends, so that nothing takes the disk for what it was. The superblock goes last: until then a store that is
 * being deleted is found again after a crash.
 */
export async function clearLabelAreas(bdev: Bdev): Promise<void> {
  const [length, superblock] = [areaLength(bdev), Math.min(superblockLength(bdev), bdev.sizeBytes)];
  await bdev.writeZeroes(bdev.sizeBytes - length, length);
  // On a small disk this has had the superblock's place in it already.
  if (length > superblock) await bdev.writeZeroes(superblock, length - superblock);
  await bdev.flush();
  await bdev.writeZeroes(0, superblock);
  await bdev.flush();
}

/** Whole blocks, whatever their size. */
function areaLength(bdev: Bdev): number {
  return Math.min(bdev.sizeBytes, Math.max(LABEL_AREA_BYTES, bdev.blockSizeBytes));
}
