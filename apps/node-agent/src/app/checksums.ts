import { createHash } from 'node:crypto';
import { lariatError, snapshotNqn } from '@lariat/contracts';
import { checksumNqn } from '../domain/names.js';
import type { ConnectedDevice } from '../ports/block-connector.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { CommandContext } from './command-handlers.js';
import { type LvolReader, readInOrder } from './lvol-reader.js';
import type { MadeLvol } from './lvols.js';

export interface ChecksumTask {
  readonly lvol: MadeLvol;
  readonly replica: string;
  readonly volume: string;
  readonly snapshot: string | null;
  readonly operation: string;
  readonly progress: CommandContext['progress'];
}

/** SHA-256 of an lvol's whole logical content, read through a short-lived export to this node alone. */
export class Checksums {
  constructor(
    private readonly journal: JournalPort,
    private readonly reader: LvolReader,
  ) {}

  async sha256(task: ChecksumTask): Promise<{ sha256: string; sizeBytes: number }> {
    const { replica, snapshot } = task;
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
    return this.reader.whileOpen({ ...task, owner: replica, nqn }, async (device) => {
      const sha256 = await hashAll(device, (done) =>
        task.progress(done, device.sizeBytes, 'bytes'),
      );
      return { sha256, sizeBytes: device.sizeBytes };
    });
  }
}

/** Hashes in order while the next chunks are being read. */
export async function hashAll(
  device: Pick<ConnectedDevice, 'sizeBytes' | 'read'>,
  onProgress: (doneBytes: number) => void,
): Promise<string> {
  const hash = createHash('sha256');
  await readInOrder(device, (chunk, doneBytes) => {
    hash.update(chunk);
    onProgress(doneBytes);
  });
  return hash.digest('hex');
}
