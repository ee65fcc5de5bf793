import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, realpath } from 'node:fs/promises';
import { createServer } from 'node:net';

export interface StateDirLock {
  release(): Promise<void>;
}

/** Two targets on one folder would each write their own cluster map over the other's. */
export class StateDirInUse extends Error {
  override readonly name = 'StateDirInUse';
}

/**
 * Makes the folder and holds it until released or until the process dies, however it dies: the lock is a
 * name in Linux's abstract socket namespace, which the kernel frees. Other systems have no such namespace;
 * there the RPC socket alone keeps a second target away.
 */
export async function lockStateDir(stateDir: string): Promise<StateDirLock> {
  await mkdir(stateDir, { recursive: true });
  if (process.platform !== 'linux') return { release: () => Promise.resolve() };
  const digest = createHash('sha256')
    .update(await realpath(stateDir))
    .digest('hex');
  const server = createServer((socket) => socket.destroy());
  server.listen({ path: `\0lariat-soft-target/${digest.slice(0, 32)}` });
  try {
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new StateDirInUse(
      `another soft-target uses ${stateDir}; stop it or choose another --state-dir`,
    );
  }
  // The lock alone must not keep the process alive.
  server.unref();
  return {
    release: async () => {
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}
