import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JsonDocumentSplitter } from './framing.js';

export interface ReceivedRequest {
  readonly id: number;
  readonly method: string;
  readonly params?: unknown;
}

/** A peer for client tests: it records requests, and the test says what is sent back, byte by byte if need be. */
export class FakeTarget {
  readonly requests: ReceivedRequest[] = [];
  private readonly sockets = new Set<Socket>();
  private onRequest: (request: ReceivedRequest, socket: Socket) => void = () => undefined;

  private constructor(
    readonly socketPath: string,
    private readonly folder: string,
    private readonly server: Server,
  ) {}

  static async listen(): Promise<FakeTarget> {
    const folder = await mkdtemp(join(tmpdir(), 'lariat-spdk-'));
    const server = createServer();
    const target = new FakeTarget(join(folder, 'rpc.sock'), folder, server);
    server.on('connection', (socket) => target.serve(socket));
    server.listen(target.socketPath);
    await once(server, 'listening');
    return target;
  }

  handle(onRequest: (request: ReceivedRequest, socket: Socket) => void): void {
    this.onRequest = onRequest;
  }

  /** Accepts, and then reads nothing: the client's writes pile up. */
  stopReading(): void {
    this.server.removeAllListeners('connection');
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.pause();
      socket.on('error', () => undefined);
    });
  }

  dropConnections(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.dropConnections();
    this.server.close();
    await once(this.server, 'close');
    await rm(this.folder, { recursive: true, force: true });
  }

  private serve(socket: Socket): void {
    this.sockets.add(socket);
    // The client may go away under an answer; its test looks at the client's side.
    socket.on('error', () => undefined);
    const splitter = new JsonDocumentSplitter({ maxDocumentBytes: 1 << 20 });
    socket.on('data', (chunk) =>
      splitter.push(chunk, (document) => {
        const request = JSON.parse(document.toString('utf8')) as ReceivedRequest;
        this.requests.push(request);
        this.onRequest(request, socket);
      }),
    );
  }
}

export function resultOf(request: ReceivedRequest, result: unknown): string {
  return JSON.stringify({ jsonrpc: '2.0', id: request.id, result });
}

export function errorOf(request: ReceivedRequest, code: number, message: string): string {
  return JSON.stringify({ jsonrpc: '2.0', id: request.id, error: { code, message } });
}
