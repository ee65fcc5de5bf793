import { roundUpToCluster } from '@lariat/kernel';
import { mappedPieces } from '../../app/content-pieces.js';
import { verifyChecksum } from '../../domain/checksum.js';
import { sumsCoverHoles } from '../../domain/hole-policy.js';
import { ImageFormat } from '../../domain/image-format.js';
import { ImportPhase } from '../../domain/progress.js';
import { tooLarge } from '../../domain/qcow2-header.js';
import type { MappedContent } from '../../ports/byte-reader.port.js';
import type { ImportContext } from './import-context.js';
import type { ImportResult } from './import-types.js';
import { writeOut } from './write-out.js';

/** Imports content of which it is known where data may be: the rest is not read, and summed as long as that costs little. */
export async function importMapped(
  content: MappedContent,
  context: ImportContext,
): Promise<ImportResult> {
  const { options, environment, hashing, digests, pool, progress } = context;
  const { sizeBytes, map } = content;
  if (sizeBytes > options.maxSizeBytes) throw tooLarge(sizeBytes, options.maxSizeBytes);
  progress.begin(ImportPhase.downloading, map.dataBytes);
  // Whoever names a checksum has it compared, whatever that costs.
  const hasSums =
    options.checksum !== null || sumsCoverHoles(environment.holes, sizeBytes, map.dataBytes);
  const sums = hasSums ? hashing.open() : null;
  const { dataClusters } = await writeOut(
    { pieces: (signal) => mappedPieces(content, pool, signal), sizeBytes, sums, digests },
    context,
  );
  const finished = sums === null ? null : await sums.finish();
  if (options.checksum !== null && finished !== null)
    verifyChecksum(options.checksum, finished.sums);
  const deviceBytes = roundUpToCluster(sizeBytes);
  const summed = { sizeBytes, sums: finished?.sums ?? null };
  return {
    format: ImageFormat.raw,
    compression: null,
    file: summed,
    content: summed,
    device: {
      sizeBytes: deviceBytes,
      sums: finished?.paddedSums ?? null,
      rootDigest: await digests.finish(deviceBytes),
      dataClusters,
    },
  };
}
