import { resolve } from 'node:path';
import { LariatError } from '@lariat/kernel';
import type { Command } from 'commander';
import { clusterPaths, type ClusterPaths, defaultDataDir } from './cluster/paths.js';
import type { Interruption } from './interruption.js';
import { Printer, type Streams } from './output/printer.js';

/** Options that every command takes. */
export interface GlobalOptions {
  readonly nats?: string;
  readonly data?: string;
  readonly json?: boolean;
  readonly verbose?: boolean;
  readonly timeout?: string;
}

/** What a command has at hand besides its own arguments. */
export interface CommandContext {
  readonly printer: Printer;
  readonly paths: ClusterPaths;
  readonly natsUrl: string | undefined;
  readonly verbose: boolean;
  /** How long a change is waited for. */
  readonly timeoutMs: number;
  readonly interruption: Interruption;
}

const DEFAULT_TIMEOUT_SECONDS = 300;
const MAX_TIMEOUT_SECONDS = 86_400;

function parseTimeoutMs(text: string | undefined): number {
  const value = text === undefined ? DEFAULT_TIMEOUT_SECONDS : Number(text);
  if (value > 0 && value <= MAX_TIMEOUT_SECONDS) return value * 1000;
  throw usageError(
    `--timeout takes seconds, from more than 0 to ${MAX_TIMEOUT_SECONDS}; '${text}' is none.`,
  );
}

export function usageError(message: string): LariatError {
  return new LariatError({ kind: 'invalid', code: 'USAGE', message });
}

export function contextOf(
  command: Command,
  streams: Streams,
  interruption: Interruption,
): CommandContext {
  const options = command.optsWithGlobals<GlobalOptions>();
  return {
    printer: new Printer(streams, options.json === true),
    paths: clusterPaths(options.data === undefined ? defaultDataDir() : resolve(options.data)),
    natsUrl: options.nats,
    verbose: options.verbose === true,
    timeoutMs: parseTimeoutMs(options.timeout),
    interruption,
  };
}
