import { lstat, unlink } from 'node:fs/promises';
import { createConnection } from 'node:net';

/** The path of `unix:///path`, `unix:/path` or a bare path; undefined for other endpoints: there is no authentication. */
export function socketPathOf(endpoint: string): string | undefined {
  const path = endpoint.replace(/^unix:(\/\/)?/, '');
  return path.startsWith('/') && !path.includes('\0') ? path : undefined;
}

/** Takes away the socket of a process that is dead; throws when something else is at the path. */
export async function clearSocket(path: string): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`${path} is not a socket; nothing of others is removed`);
  if (await isServed(path)) throw new Error(`another process serves on ${path}: stop that first`);
  await unlink(path);
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const connection = createConnection(path);
    connection.once('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      else reject(error);
    });
  });
}
