import { lariatError } from '@lariat/contracts';
import { LariatError } from '@lariat/kernel';
import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import type { ContentSink } from '../../ports/content-sink.port.js';
import type { DraftAccess } from '../../ports/importer.port.js';
import { PATH_LOST_MS } from './connect-namespace.js';
import { NvmeContentSink } from './nvme-content-sink.js';

/** The draft that a node exports; what goes wrong on the way to it is told in the words of an import. */
export async function connectDraft(access: DraftAccess, sizeBytes: number): Promise<ContentSink> {
  const { endpoint, hostNqn } = access;
  const options = { endpoint, hostNqn, ctrlrLossTimeoutMs: PATH_LOST_MS };
  try {
    return new DraftSink(await NvmeContentSink.connect(options, sizeBytes), access);
  } catch (reason) {
    throw unreachable(access, reason);
  }
}

export class DraftSink implements ContentSink {
  constructor(
    private readonly sink: ContentSink,
    private readonly access: DraftAccess,
  ) {}

  writeCluster(cluster: number, bytes: Buffer): Promise<void> {
    return this.told(this.sink.writeCluster(cluster, bytes));
  }

  finish(): Promise<void> {
    return this.told(this.sink.finish());
  }

  close(): Promise<void> {
    return this.sink.close();
  }

  private async told(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (reason) {
      throw inWordsOfAnImport(this.access, reason);
    }
  }
}

function inWordsOfAnImport(access: DraftAccess, reason: unknown): unknown {
  if (!(reason instanceof BlockIoError)) return reason;
  const { node, disk } = access;
  const { traddr, trsvcid } = access.endpoint;
  switch (reason.failure) {
    case BlockIoFailure.gone:
    case BlockIoFailure.aborted:
      return unreachable(access, reason);
    case BlockIoFailure.noSpace:
      return lariatError(
        'DISK_FULL',
        `disk ${disk} of node '${node}' (${traddr}:${trsvcid}) is full midway: more is promised on it than it has. Free space on it, or cordon it ('lariat disk cordon') so that another one is taken, and import again.`,
        { node, disk },
        reason,
      );
    case BlockIoFailure.outOfRange:
    case BlockIoFailure.readOnly:
    case BlockIoFailure.media:
      return lariatError(
        'TARGET_REFUSED',
        `the node at ${traddr}:${trsvcid} does not take what is written to the image's draft (${reason.failure}): ${reason.message}`,
        { traddr, trsvcid, failure: reason.failure },
        reason,
      );
  }
}

function unreachable({ endpoint }: DraftAccess, reason: unknown): Error {
  const { traddr, trsvcid } = endpoint;
  return lariatError(
    'IMAGE_DRAFT_UNREACHABLE',
    `the image service cannot write to the node at ${traddr}:${trsvcid} over NVMe/TCP; see to it that this address can be reached from where the service runs`,
    { traddr, trsvcid, reason: reason instanceof LariatError ? reason.code : String(reason) },
    reason,
  );
}
