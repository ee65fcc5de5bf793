import { type NvmfEndpoint, nodeHostNqn } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import type { BlockConnectorPort, ConnectedDevice } from '../ports/block-connector.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { Exports } from './exports.js';
import type { MadeLvol } from './lvols.js';

export interface LvolReading {
  readonly lvol: MadeLvol;
  readonly owner: string;
  readonly volume: string | null;
  readonly operation: string;
  /** Name of the short-lived export. */
  readonly nqn: string;
  /** An export that another has made of the same lvol: a bdev can't be exported twice. */
  readonly shared?: string;
}

const CHUNK_BYTES = MIB;
/** Reads in flight while one chunk is worked on. */
const READ_AHEAD = 8;
const PATH_LOSS_TIMEOUT_MS = 10_000;

/** Lvols of this node as block devices in this process, through NVMe/TCP as everybody else. */
export class LvolReader {
  constructor(
    private readonly node: string,
    private readonly journal: JournalPort,
    private readonly exports: Exports,
    private readonly connector: BlockConnectorPort,
  ) {}

  /** Through an export to this node alone, which goes afterwards; or through the shared one, if that is there. */
  async whileOpen<T>(
    reading: LvolReading,
    use: (device: ConnectedDevice) => Promise<T>,
  ): Promise<T> {
    const shared = await this.admitToShared(reading.shared);
    if (shared !== undefined) return this.whileConnected(shared, use);
    const { lvol, owner, volume, operation, nqn } = reading;
    const hosts = [nodeHostNqn(this.node)];
    const endpoint = await this.exports.ensure({
      name: nqn,
      uuid: lvol.uuid,
      owner,
      volume,
      operation,
      epoch: null,
      params: { role: 'checksum', bdevName: lvol.uuid, hosts },
    });
    try {
      return await this.whileConnected(endpoint, use);
    } finally {
      await this.exports.remove(nqn);
    }
  }

  /** A subsystem of any node that admits this one, or the host that it goes there as. */
  async whileConnected<T>(
    endpoint: NvmfEndpoint,
    use: (device: ConnectedDevice) => Promise<T>,
    hostNqn: string = nodeHostNqn(this.node),
  ): Promise<T> {
    const device = await this.connector.connect({
      endpoint,
      hostNqn,
      ctrlrLossTimeoutMs: PATH_LOSS_TIMEOUT_MS,
    });
    try {
      return await use(device);
    } finally {
      await device.close();
    }
  }

  private async admitToShared(nqn: string | undefined): Promise<NvmfEndpoint | undefined> {
    if (nqn === undefined) return undefined;
    const own = nodeHostNqn(this.node);
    return this.exports.revise(nqn, (record) => {
      if (record === undefined || record.uuid === null) return undefined;
      const { hosts } = record.params;
      const { kind: _kind, uuid, ...plan } = record;
      const params = { ...record.params, hosts: hosts.includes(own) ? hosts : [...hosts, own] };
      return { ...plan, uuid, params };
    });
  }
}

/** Visits a device's content in order, MiB by MiB, while the next ones are being read. */
export async function readInOrder(
  device: Pick<ConnectedDevice, 'sizeBytes' | 'read'>,
  visit: (chunk: Buffer, doneBytes: number) => void,
): Promise<void> {
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
    doneBytes += chunk.length;
    visit(chunk, doneBytes);
  }
}
