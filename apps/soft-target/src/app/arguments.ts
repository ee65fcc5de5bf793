import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { LOG_LEVELS, type LogLevel } from './log.js';
import { PERSONALITIES, type Personality } from './personality.js';

export interface TargetArguments {
  readonly rpcSocket: string;
  readonly stateDir: string;
  readonly logLevel: LogLevel;
  readonly personality: Personality;
}

export const USAGE = `usage: soft-target --rpc-socket PATH --state-dir DIR [--log-level LEVEL]

  --rpc-socket PATH    Unix socket for JSON-RPC
  --state-dir DIR      folder of the target's own records; made when missing
  --log-level LEVEL    ${LOG_LEVELS.join(', ')} (NOTICE)
  --personality KIND   ${PERSONALITIES.join(', ')}: what stock SPDK has alone, for tests (own)
  --wait-for-rpc no    accepted for the sake of spdk_tgt's command line

       soft-target --version
       soft-target check: see 'soft-target check --help'
`;

/** The command line is wrong; print the message and the usage, and exit 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export function parseArguments(argv: readonly string[]): TargetArguments {
  const values = readOptions(argv);
  const rpcSocket = values['rpc-socket'];
  const stateDir = values['state-dir'];
  if (rpcSocket === undefined || rpcSocket === '') throw new UsageError('--rpc-socket is missing');
  if (stateDir === undefined || stateDir === '') throw new UsageError('--state-dir is missing');
  if ((values['wait-for-rpc'] ?? 'no') !== 'no') {
    throw new UsageError(
      '--wait-for-rpc takes "no" only: there is nothing to set before the start',
    );
  }
  return {
    rpcSocket: resolve(rpcSocket),
    stateDir: resolve(stateDir),
    logLevel: logLevel(values['log-level']),
    personality: personality(values['personality']),
  };
}

function readOptions(argv: readonly string[]): Record<string, string | undefined> {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        'rpc-socket': { type: 'string' },
        'state-dir': { type: 'string' },
        'log-level': { type: 'string' },
        personality: { type: 'string' },
        'wait-for-rpc': { type: 'string' },
      },
      strict: true,
      allowPositionals: false,
    });
    return values;
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

function logLevel(text: string | undefined): LogLevel {
  if (text === undefined) return 'NOTICE';
  const level = LOG_LEVELS.find((candidate) => candidate === text.toUpperCase());
  if (level === undefined)
    throw new UsageError(`--log-level ${text} is none of ${LOG_LEVELS.join(', ')}`);
  return level;
}

function personality(text = 'own'): Personality {
  const known = PERSONALITIES.find((candidate) => candidate === text);
  if (known !== undefined) return known;
  throw new UsageError(`--personality ${text} is none of ${PERSONALITIES.join(', ')}`);
}
