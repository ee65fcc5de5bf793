import { createHash } from 'node:crypto';
import { lariatError, nodeHostNqn, snapshotNqn } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { checksumNqn } from '../domain/names.js';
import type { BlockConnectorPort, ConnectedDevice } from '../ports/block-connector.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { CommandContext } from './command-handlers.js';
import type { Exports } from './exports.js';
import type { MadeLvol } from './lvols.js';

export interface ChecksumTask {
  readonly lvol: MadeLvol;
  readonly replica: string;
  readonly volume: string;
  readonly snapshot: string | null;
  readonly operation: string;
  readonly progress: CommandContext['progress'];
}

const CHUNK_BYTES = MIB;
/** Reads in flight while one chunk is hashed. */
const READ_AHEAD = 8;
const PATH_LOSS_TIMEOUT_MS = 10_000;

/** SHA-256 of an lvol's whole logical content, read through a short-lived export to this node alone. */
export class Checksums {
  constructor(
    private readonly node: string,
    private readonly journal: JournalPort,
    private readonly exports: Exports,
    private readonly connector: BlockConnectorPort,
  ) {}

  async sha256(task: ChecksumTask): Promise<{ sha256: string; sizeBytes: number }> {
    const { lvol, replica, snapshot } = task;
    if (
      snapshot !== null &&
      this.journal.owned('subsystem', snapshotNqn(replica, snapshot)) !== undefined
    ) {
      throw lariatError(
        'OPERATION_IN_PROGRESS',
        `snapshot ${snapshot} of replica ${replica} is being copied by a rebuild; try again when that has ended`,
      );
    }
    const nqn = checksumNqn(replica, snapshot);
    const hostNqn = nodeHostNqn(this.node);
    const endpoint = await this.exports.ensure({
      name: nqn,
      uuid: lvol.uuid,
      owner: replica,
      volume: task.volume,
      operation: task.operation,
      epoch: null,
      params: { role: 'checksum', bdevName: lvol.uuid, hosts: [hostNqn], allowAnyHost: false },
    });
    try {
      const device = await this.connector.connect({
        endpoint,
        hostNqn,
        ctrlrLossTimeoutMs: PATH_LOSS_TIMEOUT_MS,
      });
      try {
        const sha256 = await hashAll(device, (done) =>
          task.progress(done, device.sizeBytes, 'bytes'),
        );
        return { sha256, sizeBytes: device.sizeBytes };
      } finally {
        await device.close();
      }
    } finally {
      await this.exports.remove(nqn);
    }
  }
}

/** Hashes in order while the next chunks are being read. */
export async function hashAll(
  device: Pick<ConnectedDevice, 'sizeBytes' | 'read'>,
  onProgress: (doneBytes: number) => void,
): Promise<string> {
  const hash = createHash('sha256');
  const ahead: Promise<Buffer>[] = [];
  let nextBytes = 0;
  let doneBytes = 0;
  const top = (): void => {
    while (ahead.length < READ_AHEAD && nextBytes < device.sizeBytes) {
      const lengthBytes = Math.min(CHUNK_BYTES, device.sizeBytes - nextBytes);
      const chunk = device.read(nextBytes, lengthBytes);
      // Its failure is met when its turn comes; until then it must not count as unhandled.
      chunk.catch(() => undefined);
      ahead.push(chunk);
      nextBytes += lengthBytes;
    }
  };
  top();
  for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) {
    const chunk = await next;
    top();
    hash.update(chunk);
    doneBytes += chunk.length;
    onProgress(doneBytes);
  }
  return hash.digest('hex');
}
