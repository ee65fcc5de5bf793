import { join } from 'node:path';
import type { TargetKind } from '../../config.js';

export interface TargetLaunch {
  readonly command: string;
  readonly args: readonly string[];
  /** Its RPC socket, which also tells the process apart from any other. */
  readonly socketPath: string;
  readonly logPath: string;
}

export interface TargetLaunchOptions {
  readonly kind: TargetKind;
  readonly dataDir: string;
  readonly softTargetBin: string;
  readonly spdkBin: string;
  readonly spdkArgs: readonly string[];
}

/** How the target process is started. */
export function targetLaunch(options: TargetLaunchOptions): TargetLaunch {
  const { dataDir } = options;
  const socketPath = join(dataDir, 'target.sock');
  const logPath = join(dataDir, 'logs', 'target.log');
  if (options.kind === 'soft') {
    const stateDir = join(dataDir, 'target');
    const args = [options.softTargetBin, '--rpc-socket', socketPath, '--state-dir', stateDir];
    return { command: process.execPath, args, socketPath, logPath };
  }
  return {
    command: options.spdkBin,
    args: ['-r', socketPath, ...options.spdkArgs],
    socketPath,
    logPath,
  };
}
