import { createServer, type Server, type Socket } from 'node:net';
import { MIB } from '@lariat/kernel';
import { ByteBudget } from './byte-budget.js';
import type { ByteDevice } from './byte-device.js';
import { NbdConnection } from './connection.js';
import type { ExportInfo } from './encode.js';
import { TransmissionFlag } from './protocol.js';

export interface NbdServerOptions {
  readonly exportName: string;
  readonly device: ByteDevice;
  /** Offers TRIM; only for a device that reads zeros after it. */
  readonly discard: boolean;
  readonly onError: (reason: unknown) => void;
}

/** Of all clients together. A client of its own has less, see connection.ts. */
const MAX_BYTES = 128 * MIB;

/** Serves one device to any number of clients on a Unix socket. */
export class NbdServer {
  private readonly connections = new Set<NbdConnection>();
  private readonly budget = new ByteBudget(MAX_BYTES);
  private readonly server: Server;

  constructor(private readonly options: NbdServerOptions) {
    this.server = createServer((socket) => void this.welcome(socket));
  }

  /** A client that comes after an expand has ended sees the new size. */
  private async welcome(socket: Socket): Promise<void> {
    const { device, onError } = this.options;
    const leave = (): void => {
      socket.destroy();
    };
    socket.on('error', leave);
    await device.refresh();
    if (!this.server.listening) leave();
    if (socket.destroyed) return;
    const connection = new NbdConnection(socket, this.info(), device, this.budget, onError);
    this.connections.add(connection);
    socket.off('error', leave);
    void connection.ended.then(() => this.connections.delete(connection));
  }

  /** Clients that are there, and those that have left requests behind. */
  get clients(): number {
    return this.connections.size;
  }

  listen(socketPath: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ path: socketPath }, () => {
        this.server.removeListener('error', reject);
        resolve();
      });
    });
  }

  /** Takes no more clients, and answers what is under way. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const connection of this.connections) connection.finish();
    await closed;
  }

  private info(): ExportInfo {
    const { exportName, device, discard } = this.options;
    return {
      name: exportName,
      sizeBytes: device.sizeBytes,
      minBlockBytes: device.blockSizeBytes,
      transmissionFlags:
        TransmissionFlag.hasFlags |
        TransmissionFlag.sendFlush |
        TransmissionFlag.sendFua |
        TransmissionFlag.sendWriteZeroes |
        // All clients share one device, so a flush of one covers the writes of all.
        TransmissionFlag.canMultiConn |
        (discard ? TransmissionFlag.sendTrim : 0),
    };
  }
}
