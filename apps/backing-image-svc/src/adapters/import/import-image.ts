import { rm } from 'node:fs/promises';
import { type Clock, systemClock } from '@lariat/kernel';
import { cancelled } from '../../domain/cancelled.js';
import { detectFormat, ImageFormat } from '../../domain/image-format.js';
import type { ImportProgress } from '../../domain/progress.js';
import type { ImageSource } from '../../ports/byte-reader.port.js';
import type { OpenSink } from '../../ports/content-sink.port.js';
import { DigestFile } from '../scratch/digest-file.js';
import { ScratchFolder } from '../scratch/scratch-folder.js';
import { importMapped } from './import-mapped.js';
import { importQcow2 } from './import-qcow2.js';
import { importRaw } from './import-raw.js';
import { ImportResources } from './import-resources.js';
import type { ImportEnvironment, ImportOptions, ImportResult } from './import-types.js';
import { headOf, openStream } from './open-stream.js';
import { ProgressReport } from './progress-report.js';

export interface ImportTask {
  readonly source: ImageSource;
  readonly options: ImportOptions;
  readonly environment: ImportEnvironment;
  readonly openSink: OpenSink;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: ImportProgress) => void;
  readonly clock?: Clock;
}

/**
 * Imports an image: from the bytes of a source to the clusters of a sink, with all sums. Whatever becomes of it, no
 * scratch file and no process is left when it settles, and no digests when it fails; what was written to the sink is the caller's to keep or drop.
 */
export async function importImage(task: ImportTask): Promise<ImportResult> {
  const { signal } = task;
  const resources = new ImportResources(signal);
  let result: ImportResult;
  try {
    result = await run(task, resources);
  } catch (reason) {
    // What went wrong says more than what could not be closed after it.
    await resources.close().catch(() => undefined);
    await rm(task.options.digestsPath, { force: true });
    throw signal.aborted ? cancelled(signal) : reason;
  }
  await resources.close();
  return result;
}

async function run(task: ImportTask, resources: ImportResources): Promise<ImportResult> {
  const { source, options, environment, openSink, onProgress, clock = systemClock } = task;
  const scratch = await ScratchFolder.make(environment.scratchParent);
  resources.add({ close: () => scratch.remove() });
  const { workbenches } = environment;
  const bench = workbenches.take();
  let isClean = false;
  resources.add({ close: () => workbenches.giveBack(bench, isClean) });
  const { pool, hashing } = bench;
  const digests = resources.add(await DigestFile.create(options.digestsPath));
  const reader = resources.add(await source.open(resources.signal));
  const progress = new ProgressReport(onProgress, clock);
  const opened = { scratch, digests, resources, progress };
  const context = { options, environment, openSink, pool, hashing, ...opened };
  if (options.isContent && reader.mapped !== undefined) {
    const mapped = await importMapped(reader.mapped, context);
    isClean = true;
    return mapped;
  }
  const stream = await openStream(reader, context);
  const format = options.isContent
    ? ImageFormat.raw
    : detectFormat(headOf(stream.first), options.format);
  const importer = format === ImageFormat.raw ? importRaw : importQcow2;
  const result = await importer(stream, context);
  isClean = true;
  return result;
}
