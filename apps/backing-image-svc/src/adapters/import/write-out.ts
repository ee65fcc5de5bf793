import { roundUpToCluster } from '@lariat/kernel';
import { passContent, type PassedContent } from '../../app/content-pass.js';
import type { Piece } from '../../app/content-pieces.js';
import type { DigestLog } from '../../ports/digest-log.port.js';
import type { RunningSums } from '../../ports/hashing.port.js';
import type { ImportContext } from './import-context.js';

export interface WriteOutTask {
  readonly pieces: (signal: AbortSignal) => AsyncIterable<Piece>;
  readonly sizeBytes: number;
  readonly sums: RunningSums | null;
  readonly digests: DigestLog | null;
}

/** Writes content of a known size from the scratch folder to the sink, and makes it safe there. */
export async function writeOut(task: WriteOutTask, context: ImportContext): Promise<PassedContent> {
  const { pieces, sizeBytes, sums, digests } = task;
  const { openSink, pool, hashing, resources, progress } = context;
  const sink = resources.add(await openSink(roundUpToCluster(sizeBytes)));
  let writtenBytes = 0;
  const counting = {
    writeCluster: async (cluster: number, bytes: Buffer): Promise<void> => {
      await sink.writeCluster(cluster, bytes);
      writtenBytes += bytes.length;
      progress.at(writtenBytes);
    },
    close: () => sink.close(),
  };
  const passed = await passContent({
    ...{ pieces, pool, hashing, sums, digests },
    sink: counting,
    signal: resources.signal,
    onBytes: () => undefined,
  });
  await sink.finish();
  return passed;
}
