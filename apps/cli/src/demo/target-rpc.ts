import { readdirSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

const TIMEOUT_MS = 5_000;

/** One JSON-RPC 2.0 call to a target; rejects for an error and when no whole answer comes. */
export function callTarget(socketPath: string, method: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(socketPath);
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`${method}: no answer in time`)));
    socket.setEncoding('utf8');
    socket.once('connect', () => socket.write(JSON.stringify({ jsonrpc: '2.0', id: 1, method })));
    socket.on('data', (chunk: string) => {
      text += chunk;
      const answer = parseWhole(text);
      if (answer === undefined) return;
      socket.destroy();
      if (answer.error === undefined) resolve(answer.result);
      else reject(new Error(`${method}: ${JSON.stringify(answer.error)}`));
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`${method}: the target closed the connection`)));
  });
}

/** SPDK sends no frames: an answer is whole when it parses. */
function parseWhole(text: string): { result?: unknown; error?: unknown } | undefined {
  try {
    return JSON.parse(text) as { result?: unknown; error?: unknown };
  } catch {
    return undefined;
  }
}

/** The socket below a node's folder on which its target answers; undefined when none does. */
export async function findTargetSocket(nodeDir: string): Promise<string | undefined> {
  const sockets = readdirSync(nodeDir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(nodeDir, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isSocket() === true);
  for (const path of sockets) {
    try {
      const methods = await callTarget(path, 'rpc_get_methods');
      if (Array.isArray(methods) && methods.includes('nvmf_get_subsystems')) return path;
    } catch {
      // Another kind of socket: an NBD export, or one that nobody serves any more.
    }
  }
  return undefined;
}
