import { join } from 'node:path';
import type { TargetKind } from '../../config.js';

/** A target that this agent starts and stops. */
export interface OwnLaunch {
  readonly command: string;
  readonly args: readonly string[];
  /** Makes it tell its version and end. */
  readonly versionArgs: readonly string[];
  readonly logPath: string;
}

export interface TargetLaunch {
  /** Its RPC socket, which also tells the process of an own target apart from any other. */
  readonly socketPath: string;
  /** Undefined: somebody else starts it. */
  readonly own: OwnLaunch | undefined;
}

export interface TargetLaunchOptions {
  readonly kind: TargetKind;
  readonly dataDir: string;
  readonly softTargetBin: string;
  readonly spdkBin: string;
  readonly spdkArgs: readonly string[];
  readonly targetSocket: string;
}

/** How the target is reached, and how its process is started if that is ours to do. */
export function targetLaunch(options: TargetLaunchOptions): TargetLaunch {
  const { dataDir } = options;
  if (options.kind === 'external') return { socketPath: options.targetSocket, own: undefined };
  const socketPath = join(dataDir, 'target.sock');
  const logPath = join(dataDir, 'logs', 'target.log');
  if (options.kind === 'soft') {
    const stateDir = join(dataDir, 'target');
    const args = [options.softTargetBin, '--rpc-socket', socketPath, '--state-dir', stateDir];
    const versionArgs = [options.softTargetBin, '--version'];
    return { socketPath, own: { command: process.execPath, args, versionArgs, logPath } };
  }
  const args = ['-r', socketPath, ...options.spdkArgs];
  return {
    socketPath,
    own: { command: options.spdkBin, args, versionArgs: ['--version'], logPath },
  };
}
