import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { waitUntil } from '../../contract/support/wait-until.js';
import type { DockerEngine } from './docker-engine.js';

const START_TIMEOUT_MS = 30_000;

/** In the engine's network: each connection to the socket goes on to a port there. What was said last is passed on too. */
const INNER = `
const net = require('node:net');
const [path, port] = process.argv.slice(1);
net.createServer((from) => {
  const to = net.connect(Number(port), '127.0.0.1');
  for (const [one, other] of [[from, to], [to, from]])
    one.on('error', () => undefined).on('close', () => other.destroySoon()).pipe(other);
}).listen(path);
`;

/** The engine's network is its own: a process in it passes on what it gets on a socket that is a file. */
export async function startRelay(engine: DockerEngine, port: number): Promise<RunningRelay> {
  const path = join(engine.folder, `port-${port}.sock`);
  const child = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', 'nsenter', `--net=/proc/${engine.pid}/ns/net`],
      ...[process.execPath, '-e', INNER, path, String(port)],
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  await waitUntil('the relay', START_TIMEOUT_MS, () => Promise.resolve(existsSync(path)));
  return { path, stop: () => ended(child) };
}

export interface RunningRelay {
  readonly path: string;
  stop(): Promise<void>;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill();
  await exited;
}

/** A port of this machine for clients that speak TCP alone. */
export class LocalPort {
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async open(path: string): Promise<LocalPort> {
    const server = createServer();
    const local = new LocalPort(server);
    server.on('connection', (from) => local.pass(from, connect(path)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return local;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private pass(from: Socket, to: Socket): void {
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const) {
      this.sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        this.sockets.delete(one);
        other.destroySoon();
      });
      one.pipe(other);
    }
  }
}
