import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { delay } from '@lariat/kernel';
import { isAlive } from './adapters/process/proc-stat.js';
import { UsageError } from './config.js';

export const PRESTOP_USAGE = `usage: lariat-node-agent prestop --data DIR [--deadline-seconds N]

For the stop hook of a container: asks the agent that runs on DIR to take away what others use of this node, hosts first, while
the network is still there, and waits for that. It is not needed: a stop without it is a crash, which every part survives.

  --data DIR              as the agent was given                     LARIAT_DATA
  --deadline-seconds N    how long it may take, from 1 to 300 (20)
`;

const POLL_MS = 20;
const DEFAULT_DEADLINE_SECONDS = 20;
const MAX_DEADLINE_SECONDS = 300;

/** How an agent is told. */
export const STAND_DOWN_SIGNAL = 'SIGUSR2';
/** Less than the caller waits for, so that there is an answer. */
export const STAND_DOWN_MS = 15_000;

export interface PrestopOptions {
  readonly dataDir: string;
  readonly deadlineMs: number;
}

export function readPrestopOptions(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): PrestopOptions {
  const values = parse(argv);
  const dataDir = values.data ?? env['LARIAT_DATA'];
  if (dataDir === undefined || dataDir === '') throw new UsageError('--data DIR is missing');
  const seconds = Number(values['deadline-seconds'] ?? DEFAULT_DEADLINE_SECONDS);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > MAX_DEADLINE_SECONDS) {
    throw new UsageError(
      `--deadline-seconds '${values['deadline-seconds']}' is not a whole number from 1 to ${MAX_DEADLINE_SECONDS}`,
    );
  }
  return { dataDir: resolve(dataDir), deadlineMs: seconds * 1000 };
}

function parse(argv: readonly string[]): {
  readonly data?: string | undefined;
  readonly 'deadline-seconds'?: string | undefined;
} {
  try {
    return parseArgs({
      args: [...argv],
      options: { data: { type: 'string' }, 'deadline-seconds': { type: 'string' } },
      strict: true,
    }).values;
  } catch (reason) {
    throw new UsageError((reason as Error).message);
  }
}

interface Status {
  readonly agentPid?: number;
  readonly agentStartTime?: number;
  /** Null until the agent has stood down; then what it could not take away. */
  readonly leftBehind?: readonly string[] | null;
}

/** What became of it, in words. Never fails: the stop goes on whatever is said here. */
export async function prestop({ dataDir, deadlineMs }: PrestopOptions): Promise<string> {
  const path = join(dataDir, 'agent.json');
  const { agentPid: pid, agentStartTime: startTime } = readStatus(path);
  if (pid === undefined || startTime === undefined || !isAlive({ pid, startTime }))
    return `no agent runs on ${dataDir}: nothing to do`;
  process.kill(pid, STAND_DOWN_SIGNAL);
  const deadline = performance.now() + deadlineMs;
  while (performance.now() < deadline) {
    const { leftBehind } = readStatus(path);
    if (Array.isArray(leftBehind)) {
      return leftBehind.length === 0
        ? 'the agent has taken away what others used of this node'
        : `the agent could not take away ${leftBehind.join(', ')}`;
    }
    if (!isAlive({ pid, startTime })) return 'the agent ended meanwhile';
    await delay(POLL_MS);
  }
  return `the agent is not done after ${deadlineMs} ms`;
}

function readStatus(path: string): Status {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Status;
  } catch {
    // There was never an agent, or none that got far.
    return {};
  }
}
