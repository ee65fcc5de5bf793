import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { delay } from '@lariat/kernel';

export interface TestRedis {
  /** Of its Unix socket. */
  readonly url: string;
  /** One command in words, and the first line of what is answered. */
  command(words: string): Promise<string>;
  /** SIGKILL: what it had is gone. */
  kill(): Promise<void>;
  /** On the same socket, empty. */
  start(): Promise<void>;
  /** SIGSTOP and SIGCONT: connections stay, nothing is answered. */
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
}

const START_DEADLINE_MS = 20_000;
const COMMAND_DEADLINE_MS = 10_000;

/** `$LARIAT_REDIS_SERVER`, else PATH; undefined when there is none: Debian has it in the package redis-server. */
export function findRedisBinary(): string | undefined {
  const named = process.env.LARIAT_REDIS_SERVER;
  const onPath = (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'redis-server'));
  return [named, ...onPath].find((path) => path !== undefined && path !== '' && existsSync(path));
}

function ask(socket: string, words: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const client = connect(socket);
    client.setTimeout(COMMAND_DEADLINE_MS, () => client.destroy(new Error('redis is silent')));
    client.once('error', reject);
    client.once('connect', () => client.write(`${words}\r\n`));
    client.once('data', (data) => {
      client.destroy();
      resolve(data.toString().split('\r\n')[0] ?? '');
    });
  });
}

/** A real redis-server that stores nothing, on a socket in a folder of its own. */
export async function startRedis(binary: string): Promise<TestRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'lariat-redis-'));
  const socket = join(folder, 'redis.sock');
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    const settings = ['--port', '0', '--unixsocket', socket, '--dir', folder];
    const started = spawn(binary, [...settings, '--save', '', '--appendonly', 'no'], {
      stdio: 'ignore',
    });
    child = started;
    const deadline = performance.now() + START_DEADLINE_MS;
    while ((await ask(socket, 'PING').catch(() => '')) !== '+PONG') {
      if (started.exitCode !== null || performance.now() > deadline)
        throw new Error(`${binary} did not start`);
      await delay(20);
    }
  };
  const kill = async (): Promise<void> => {
    const killed = child;
    child = undefined;
    if (killed === undefined || killed.exitCode !== null) return;
    const ended = new Promise((resolve) => killed.once('exit', resolve));
    killed.kill('SIGKILL');
    await ended;
  };
  await start();
  return {
    url: `redis://${socket}`,
    command: (words) => ask(socket, words),
    kill,
    start,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    stop: async () => {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
