import { MIB } from '@lariat/kernel';
import type { ConnectedDevice, ConnectOptions } from '../ports/block-connector.port.js';
import { connectionLost } from './fake-target.js';
import { type Fixture, fixture, newContext, tempDir } from './fixture.js';

export const SIZE_BYTES = 4 * MIB;
export const COPY = { image: 'img-000000000001', disk: 'disk-1' };
export const HOST = 'nqn.2026-11.io.lariat:importer';
/** Another node's copy: the only endpoint that is not of the fake target. */
export const SOURCE = { nqn: 'nqn.source', traddr: '127.0.0.1', trsvcid: '1', uuid: 'source' };

/** A node with one disk, on which copies of one image come and go; its namespaces have content. */
export class ImageNode {
  /** By uuid of the namespace; a snapshot that the target makes has that of its head. */
  readonly content = new Map<string, Buffer>();
  readonly opened: { readonly nqn: string; readonly hostNqn: string }[] = [];
  readonly flushes: string[] = [];
  readonly reads: { readonly uuid: string; readonly offsetBytes: number }[] = [];
  /** The I/O of this device fails. */
  failing: { readonly uuid: string; readonly error: Error } | undefined;
  unreachable: string | undefined;
  /** Awaited by each read. */
  whileReading: () => Promise<void> | void = () => undefined;

  private constructor(
    private readonly dir: ReturnType<typeof tempDir>,
    readonly node: Fixture,
  ) {}

  static async open(): Promise<ImageNode> {
    const dir = tempDir();
    const connect = (options: ConnectOptions): Promise<ConnectedDevice> => opened.connect(options);
    const opened = new ImageNode(dir, await fixture(dir.path, { connect }));
    const { lvol } = opened.node.target.spdk();
    const snapshot = lvol.snapshot.bind(lvol);
    lvol.snapshot = async (head, name) => {
      const uuid = await snapshot(head, name);
      opened.content.set(uuid, Buffer.from(opened.contentOf(head)));
      return uuid;
    };
    return opened;
  }

  async close(): Promise<void> {
    await this.node.journal.close();
    await this.node.digestStore.close();
    this.dir.remove();
  }

  readonly create = (
    over: { operation?: string; sizeBytes?: number; hostNqn?: string | null } = {},
  ) => {
    const { operation = 'op-1', sizeBytes = SIZE_BYTES, hostNqn = HOST } = over;
    return this.node.handlers['image.create-copy'](
      { ...COPY, sizeBytes, hostNqn },
      { ...newContext(), operation },
    );
  };
  readonly seal = () => this.node.handlers['image.seal-copy'](COPY, newContext());
  readonly remove = () => this.node.handlers['image.delete-copy'](COPY, newContext());
  readonly digest = (reread = false) =>
    this.node.handlers['image.digest-copy']({ ...COPY, reread }, newContext());
  readonly replica = (sizeBytes = 2 * SIZE_BYTES, replica = 'rep-a') =>
    this.node.handlers['replica.create'](
      { replica, volume: 'vol-1', disk: COPY.disk, sizeBytes, image: COPY.image },
      newContext(),
    );

  /** NQNs of all that is exported. */
  readonly exported = () => [...this.node.target.subsystems.keys()];
  /** Names of all lvols of the disk. */
  readonly names = () => [...this.node.target.lvols.values()].map(({ name }) => name).toSorted();
  /** What is on record of the copy. */
  readonly left = () => this.node.journal.ownedBy(`image/${COPY.image}/${COPY.disk}`);

  /** The connection is lost after the nth change from now: it has happened, and nobody learns so. */
  readonly cutAfterChange = (nth: number): void => {
    let remaining = nth;
    this.node.target.after = (method) => {
      if (/_get_/.test(method)) return;
      remaining -= 1;
      if (remaining === 0) throw connectionLost();
    };
  };
  readonly heal = (): void => {
    this.node.target.after = () => undefined;
  };

  private contentOf(uuid: string): Buffer {
    const data = this.content.get(uuid) ?? Buffer.alloc(SIZE_BYTES);
    this.content.set(uuid, data);
    return data;
  }

  private connect({ endpoint, hostNqn }: ConnectOptions): Promise<ConnectedDevice> {
    this.opened.push({ nqn: endpoint.nqn, hostNqn });
    if (endpoint.nqn === this.unreachable) return Promise.reject(new Error('connection refused'));
    const subsystem = this.node.target.subsystems.get(endpoint.nqn);
    if (subsystem === undefined && endpoint !== SOURCE)
      return Promise.reject(new Error('there is no such subsystem'));
    if (subsystem?.hosts.has(hostNqn) === false) return Promise.reject(new Error('not admitted'));
    return Promise.resolve(this.device(endpoint.uuid));
  }

  private device(uuid: string): ConnectedDevice {
    const data = this.contentOf(uuid);
    return {
      uuid,
      blockSizeBytes: 4096,
      sizeBytes: data.length,
      read: async (offsetBytes, lengthBytes) => {
        this.reads.push({ uuid, offsetBytes });
        if (this.failing?.uuid === uuid) throw this.failing.error;
        await this.whileReading();
        return Buffer.from(data.subarray(offsetBytes, offsetBytes + lengthBytes));
      },
      write: (offsetBytes, written) => {
        if (this.failing?.uuid === uuid) return Promise.reject(this.failing.error);
        written.copy(data, offsetBytes);
        return Promise.resolve();
      },
      writeZeroes: () => Promise.reject(new Error('zeros need no writing')),
      unmap: () => Promise.resolve(),
      flush: () => {
        this.flushes.push(uuid);
        return Promise.resolve();
      },
      refresh: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
  }
}
