import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { isErrorRecord, type Json, LariatError, toLariatError } from '@lariat/kernel';
import type { Supervisor } from './supervisor.js';

/** One request a line on the supervisor's Unix socket; one reply a line, in the order of finishing. */
export type ControlRequest =
  | { readonly command: 'list' }
  | { readonly command: 'add-node'; readonly name: string; readonly diskSizeBytes?: number }
  | {
      readonly command: 'start-node' | 'stop-node' | 'remove-node' | 'kill-node' | 'admit-node';
      readonly name: string;
    }
  | { readonly command: 'kill'; readonly name: string; readonly signal?: NodeJS.Signals };

export type ControlCommand = ControlRequest['command'];

/** Cuts a stream of text into lines, whatever its chunks are. */
export class LineSplitter {
  private rest = '';

  push(chunk: string): readonly string[] {
    const lines = (this.rest + chunk).split('\n');
    this.rest = lines.pop() ?? '';
    return lines;
  }
}

const invalid = (message: string): LariatError =>
  new LariatError({ kind: 'invalid', code: 'REQUEST_MALFORMED', message });

async function carryOut(supervisor: Supervisor, request: ControlRequest): Promise<unknown> {
  switch (request.command) {
    case 'list':
      return { processes: supervisor.list() };
    case 'add-node':
      return supervisor.addNode(request.name, request.diskSizeBytes);
    case 'start-node':
      return supervisor.startNode(request.name);
    case 'stop-node':
      await supervisor.stopNode(request.name);
      return { stopped: request.name };
    case 'remove-node':
      await supervisor.removeNode(request.name);
      return { removed: request.name };
    case 'admit-node':
      await supervisor.admitNode(request.name);
      return { admitted: request.name };
    case 'kill-node':
      return { killed: await supervisor.killNode(request.name) };
    case 'kill':
      return { killed: [await supervisor.kill(request.name, request.signal)] };
    default:
      throw invalid(
        `The supervisor has no command '${String((request as { command?: unknown }).command)}'.`,
      );
  }
}

async function answer(supervisor: Supervisor, line: string): Promise<string> {
  let request: ControlRequest;
  try {
    request = JSON.parse(line) as ControlRequest;
  } catch {
    return JSON.stringify({ error: invalid('The request is not a line of JSON.').toRecord() });
  }
  try {
    return JSON.stringify({ data: await carryOut(supervisor, request) });
  } catch (error) {
    return JSON.stringify({ error: toLariatError(error).toRecord() });
  }
}

function serve(supervisor: Supervisor, socket: Socket): void {
  const lines = new LineSplitter();
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    for (const line of lines.push(chunk)) {
      void answer(supervisor, line).then((reply) => {
        if (socket.writable) socket.write(`${reply}\n`);
      });
    }
  });
  // A caller that went away is not the supervisor's trouble.
  socket.on('error', () => socket.destroy());
}

export interface ControlServer {
  close(): Promise<void>;
}

/** The caller holds the data folder's lock: a socket that is there is a dead supervisor's. */
export async function serveControl(supervisor: Supervisor, path: string): Promise<ControlServer> {
  if (!path.startsWith('\0')) rmSync(path, { force: true });
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    serve(supervisor, socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** Asks the supervisor that runs the cluster with this socket. */
export function askSupervisor(path: string, request: ControlRequest): Promise<Json> {
  return new Promise((resolve, reject) => {
    const lines = new LineSplitter();
    const socket = connect(path);
    socket.setEncoding('utf8');
    socket.once('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('data', (chunk: string) => {
      const line = lines.push(chunk)[0];
      if (line === undefined) return;
      socket.end();
      const reply = JSON.parse(line) as { data?: Json; error?: unknown };
      if (isErrorRecord(reply.error)) reject(LariatError.fromRecord(reply.error));
      else resolve(reply.data ?? null);
    });
    const fail = (cause?: Error): void =>
      reject(
        new LariatError({
          kind: 'unavailable',
          code: 'CLUSTER_NOT_RUNNING',
          message:
            "The cluster's supervisor does not answer; see 'lariat status', or start one with 'lariat up'.",
          ...(cause === undefined ? {} : { cause }),
        }),
      );
    socket.once('error', fail);
    socket.once('close', () => fail());
  });
}
