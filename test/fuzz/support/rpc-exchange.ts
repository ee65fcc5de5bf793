import { connect, type Socket } from 'node:net';
import type { Random } from './random.js';

/** A call may wait for something that never comes; then the client leaves. */
const PATIENCE_MS = 150;

/** How a request reaches the target. */
const DELIVERIES = ['whole', 'split', 'dripped', 'hang up', 'ended', 'followed'] as const;

/** Sends a request in one of several ways, and rejects when what comes back is no JSON-RPC. */
export async function exchange(socketPath: string, request: Buffer, random: Random): Promise<void> {
  const socket = connect({ path: socketPath });
  const answers: Buffer[] = [];
  let answered: () => void = () => undefined;
  const done = new Promise<void>((resolve) => (answered = resolve));
  socket.on('data', (chunk: Buffer) => {
    answers.push(chunk);
    if (chunk.at(-1) === 0x0a) answered();
  });
  // The target may close while the request is still being written.
  socket.on('error', () => socket.destroy());
  socket.once('close', answered);
  const timer = setTimeout(answered, PATIENCE_MS);
  const stays = await deliver(socket, request, random);
  if (stays) await done;
  clearTimeout(timer);
  socket.destroy();
  const text = Buffer.concat(answers).toString();
  if (text.endsWith('\n')) text.split('\n').filter(Boolean).forEach(checkAnswer);
}

/** False when the client does not wait for an answer. */
async function deliver(socket: Socket, request: Buffer, random: Random): Promise<boolean> {
  const at = random.below(request.length + 1);
  switch (random.pick(DELIVERIES)) {
    case 'whole':
      socket.write(request);
      return true;
    case 'split':
      socket.write(request.subarray(0, at));
      await turn();
      socket.write(request.subarray(at));
      return true;
    case 'dripped':
      for (let from = 0; from < Math.min(request.length, 200); from += 1) {
        socket.write(request.subarray(from, from + 1));
        if (random.chance(0.1)) await turn();
      }
      socket.write(request.subarray(200));
      return true;
    case 'hang up':
      socket.write(request.subarray(0, at));
      if (random.chance(0.5)) await turn();
      return false;
    case 'ended':
      socket.end(request);
      return true;
    case 'followed':
      socket.write(Buffer.concat([request, request.subarray(0, at), request]));
      return true;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function checkAnswer(line: string): void {
  const value: unknown = JSON.parse(line);
  for (const answer of Array.isArray(value) ? value : [value]) {
    const { jsonrpc, result, error } = answer as {
      jsonrpc?: unknown;
      result?: unknown;
      error?: unknown;
    };
    if (jsonrpc !== '2.0' || (result === undefined) === (error === undefined)) {
      throw new Error(`no JSON-RPC answer: ${line.slice(0, 500)}`);
    }
  }
}
