import { mkdir, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import type { SocketsPort } from '../../ports/sockets.port.js';

export class UnixSockets implements SocketsPort {
  accepts(path: string): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = createConnection({ path });
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
  }

  async remove(path: string): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    await rm(path, { force: true });
  }
}
