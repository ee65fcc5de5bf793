import { once } from 'node:events';
import { chmod, unlink } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { noFaultPoints, type FaultPoints } from '@lariat/kernel';
import type { Log } from '../app/log.js';
import type { MethodTable } from './method.js';
import { RpcConnection } from './rpc-connection.js';

export interface RpcServerOptions {
  readonly socketPath: string;
  readonly methods: MethodTable;
  readonly log: Log;
  readonly faults?: FaultPoints;
}

export interface RpcServer {
  /** Stops listening, lets calls under way end (up to `graceMs`), and removes the socket file. */
  close(graceMs?: number): Promise<void>;
}

/** The socket cannot be had; `message` says why and what to do. */
export class RpcSocketError extends Error {
  override readonly name = 'RpcSocketError';
}

/** sun_path of sockaddr_un holds 108 bytes with its final zero. */
const MAX_SOCKET_PATH_BYTES = 107;
const DEFAULT_GRACE_MS = 2_000;

/** Serves JSON-RPC 2.0 on a Unix socket the way SPDK does. Refuses a socket that another process serves. */
export async function startRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  const { socketPath, methods, log, faults = noFaultPoints } = options;
  await removeStaleSocket(socketPath);
  const connections = new Map<Socket, RpcConnection>();
  // Half-open: a client may end its side and still read its answers.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.set(socket, new RpcConnection(socket, { methods, log, faults }));
    socket.once('close', () => connections.delete(socket));
  });
  await listen(server, socketPath);
  // Whoever can write to the socket owns the target's data.
  await chmod(socketPath, 0o600);
  return {
    close: async (graceMs = DEFAULT_GRACE_MS) => {
      // Node removes the socket file itself when the server stops listening.
      const closed = once(server, 'close');
      server.close();
      let timer: NodeJS.Timeout | undefined;
      // A call may wait for days, as for a bdev that never comes; nobody is left to hear its answer.
      const graceOver = new Promise<void>((resolve) => {
        timer = setTimeout(() => {
          for (const socket of connections.keys()) socket.destroy();
          resolve();
        }, graceMs);
      });
      const finished = [...connections.values()].map((connection) => connection.finish());
      await Promise.race([Promise.all(finished), graceOver]);
      for (const socket of connections.keys()) socket.destroySoon();
      await closed;
      clearTimeout(timer);
    },
  };
}

async function listen(server: Server, socketPath: string): Promise<void> {
  if (Buffer.byteLength(socketPath) > MAX_SOCKET_PATH_BYTES) {
    throw new RpcSocketError(
      `the RPC socket's path is longer than ${MAX_SOCKET_PATH_BYTES} bytes: ${socketPath}`,
    );
  }
  server.listen(socketPath);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new RpcSocketError(`cannot listen on ${socketPath}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** A socket file that nobody serves is left over from a process that was killed. */
async function removeStaleSocket(socketPath: string): Promise<void> {
  const failure = await tryConnect(socketPath);
  if (failure === undefined) {
    throw new RpcSocketError(
      `another process serves ${socketPath}; stop it or choose another path`,
    );
  }
  if (failure.code === 'ECONNREFUSED') await unlink(socketPath);
}

function tryConnect(socketPath: string): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const probe = createConnection({ path: socketPath });
    probe.once('connect', () => {
      probe.destroy();
      resolve(undefined);
    });
    probe.once('error', resolve);
  });
}
