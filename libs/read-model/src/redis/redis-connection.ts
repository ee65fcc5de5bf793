import { lariatError } from '@lariat/contracts';
import { redisUrlProblem, withDeadline } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import type { Redis } from 'ioredis';
import type { ScriptCall, ScriptStore } from './script-store.port.js';
import type { Script } from './scripts.js';

const CONNECT_TIMEOUT_MS = 1_000;
const MAX_RECONNECT_MS = 1_000;
const RECONNECT_STEP_MS = 50;

/** A Unix socket is a URL without a host, with the path of the socket. */
function socketOf(url: string): { readonly path: string } | undefined {
  const { hostname, pathname } = new URL(url);
  return hostname === '' ? { path: decodeURIComponent(pathname) } : undefined;
}

/** One connection of a process, for all of its lists. It connects, again and again, by itself. */
export class RedisConnection implements ScriptStore {
  private constructor(private readonly redis: Redis) {}

  /** The client is loaded here, so that whoever has no Redis never reads it. */
  static async open(url: string, log: Log): Promise<RedisConnection> {
    const problem = redisUrlProblem(url);
    if (problem !== undefined) throw lariatError('REDIS_URL_INVALID', problem);
    const { Redis: Client } = await import('ioredis');
    const settings = {
      // What can't be sent now is answered otherwise, and not kept for later.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      retryStrategy: (times: number) => Math.min(times * RECONNECT_STEP_MS, MAX_RECONNECT_MS),
    };
    const socket = socketOf(url);
    const redis =
      socket === undefined ? new Client(url, settings) : new Client({ ...settings, ...socket });
    let isUp = true;
    redis.on('ready', () => {
      isUp = true;
    });
    redis.on('error', (error: Error) => {
      // Each try of a connection fails; that it is lost is said once.
      if (isUp) log.warn('redis is not reached; lists are served from memory', { error });
      isUp = false;
    });
    return new RedisConnection(redis);
  }

  run(script: Script, call: ScriptCall): Promise<unknown> {
    return withDeadline('Redis', call.deadlineMs, this.evaluate(script, call));
  }

  close(): void {
    this.redis.disconnect();
  }

  private async evaluate({ lua, sha1 }: Script, { key, args }: ScriptCall): Promise<unknown> {
    try {
      return await this.redis.evalsha(sha1, 1, key, ...args);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return this.redis.eval(lua, 1, key, ...args);
    }
  }
}
