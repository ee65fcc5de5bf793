import { toLariatError } from '@lariat/kernel';
import { type Cluster, type ClusterOptions, startCluster } from './start-cluster.js';

/**
 * The process behind `lariat up --detach`: argument 1 is the ClusterOptions as JSON. It tells its parent
 * over IPC whether the cluster serves, and then lives until SIGTERM.
 */
export type SuperviseMessage =
  | { readonly ready: true; readonly natsUrl: string }
  | { readonly error: ReturnType<ReturnType<typeof toLariatError>['toRecord']> };

const log = (message: string): void => {
  process.stderr.write(`${new Date().toISOString()} ${message}\n`);
};

function tellParent(message: SuperviseMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    // A parent that has gone is no reason to stop.
    else process.send(message, () => resolve());
  });
}

async function supervise(options: ClusterOptions): Promise<void> {
  let isAsked = false;
  let cluster: Cluster | undefined;
  const stop = (): void => {
    if (isAsked) return;
    isAsked = true;
    log('stopping on request');
    void cluster?.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log(`stopping failed: ${String(error)}`);
        process.exit(1);
      },
    );
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);
  try {
    cluster = await startCluster({ ...options, said: log });
  } catch (error) {
    await tellParent({ error: toLariatError(error).toRecord() });
    process.exit(1);
  }
  if (isAsked) {
    await cluster.stop();
    process.exit(0);
  }
  log(`the cluster serves at ${cluster.natsUrl}`);
  await tellParent({ ready: true, natsUrl: cluster.natsUrl });
  if (process.connected) process.disconnect();
}

await supervise(JSON.parse(process.argv[2] ?? '{}') as ClusterOptions);
