import { fork } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { isErrorRecord, LariatError } from '@lariat/kernel';
import { clusterPaths, programFile } from './paths.js';
import { identify, signalProcess, waitForEnd } from './process-identity.js';
import type { ClusterOptions } from './start-cluster.js';

/** The supervisor waits most of the time: it needs no heap to speak of. */
const SUPERVISOR_HEAP = ['--max-old-space-size=64', '--max-semi-space-size=1'];
const STOP_GRACE_MS = 30_000;

/** What can be handed to another process. */
export type DetachedOptions = Omit<ClusterOptions, 'plan' | 'said' | 'env' | 'timing'>;

/** Starts a supervisor that outlives this process; resolves when its cluster serves. */
export function startDetached(options: DetachedOptions, interrupted: AbortSignal): Promise<string> {
  const paths = clusterPaths(options.dataDir);
  mkdirSync(paths.logs, { recursive: true });
  const logPath = paths.log('supervisor');
  const log = openSync(logPath, 'a');
  const child = fork(
    programFile('apps', 'cli', 'dist', 'cluster', 'supervise.js'),
    [JSON.stringify(options)],
    {
      detached: true,
      execArgv: SUPERVISOR_HEAP,
      stdio: ['ignore', log, log, 'ipc'],
    },
  );
  closeSync(log);
  return new Promise((resolve, reject) => {
    const giveUp = (): void => {
      if (child.pid === undefined) return;
      const identity = identify(child.pid);
      signalProcess(identity, 'SIGTERM');
      void waitForEnd(identity, STOP_GRACE_MS);
    };
    interrupted.addEventListener('abort', giveUp, { once: true });
    child.once('message', (message: { natsUrl?: unknown; error?: unknown }) => {
      interrupted.removeEventListener('abort', giveUp);
      if (typeof message.natsUrl === 'string') {
        child.disconnect();
        child.unref();
        resolve(message.natsUrl);
      } else if (isErrorRecord(message.error)) {
        reject(LariatError.fromRecord(message.error));
      }
    });
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      reject(
        new LariatError({
          kind: 'unavailable',
          code: 'CLUSTER_START_FAILED',
          message: `The supervisor ended (${signal ?? `exit code ${code}`}) before the cluster served. See ${logPath}.`,
        }),
      ),
    );
  });
}
