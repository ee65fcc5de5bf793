import { existsSync, readdirSync, rmSync } from 'node:fs';
import { readNodeProcesses } from './agent-file.js';
import { type ClusterFile, readClusterFile } from './cluster-file.js';
import { lockOwner } from './data-dir-lock.js';
import type { ClusterPaths } from './paths.js';
import { isRunning, type ProcessIdentity, stopProcess } from './process-identity.js';

const GRACE_MS = 8_000;

export function nodeNames(paths: ClusterPaths): readonly string[] {
  if (!existsSync(paths.nodes)) return [];
  return readdirSync(paths.nodes, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .toSorted();
}

/** The supervisor that runs the cluster in this folder; undefined when none lives. */
export function runningCluster(paths: ClusterPaths): ClusterFile | undefined {
  const file = readClusterFile(paths.clusterFile);
  return file !== undefined && isRunning(file.supervisor) ? file : undefined;
}

/**
 * Stops what a killed supervisor left running: agents, then what they ran, then plugins, then NATS. Only
 * processes that are on record and are still the same are touched. Answers their pids.
 */
export async function stopRemains(paths: ClusterPaths): Promise<readonly number[]> {
  const file = readClusterFile(paths.clusterFile);
  const stopped: number[] = [];
  const stopAll = async (identities: readonly ProcessIdentity[]): Promise<void> => {
    const live = identities.filter(isRunning);
    stopped.push(...live.map(({ pid }) => pid));
    await Promise.all(live.map((identity) => stopProcess(identity, GRACE_MS)));
  };
  const recorded = (kind: string): readonly ProcessIdentity[] =>
    (file?.processes ?? []).flatMap(({ kind: of, pid, startTime }) =>
      of === kind && pid !== null ? [{ pid, startTime }] : [],
    );
  // Read before the agents stop: they take their records away with them.
  const parts = nodeNames(paths).flatMap((node) => readNodeProcesses(paths, node));
  const agents = [...recorded('agent'), ...parts.filter(({ kind }) => kind === 'agent')];
  await stopAll([...new Map(agents.map((agent) => [agent.pid, agent])).values()]);
  await stopAll(parts.filter(({ kind }) => kind !== 'agent'));
  await stopAll(recorded('plugin'));
  await stopAll(recorded('nats'));
  // With a supervisor that holds the folder, be it this process, these are its own.
  if (lockOwner(paths.lockFile) === undefined) {
    rmSync(paths.clusterFile, { force: true });
    rmSync(paths.lockFile, { force: true });
    if (!paths.controlSocket.startsWith('\0')) rmSync(paths.controlSocket, { force: true });
  }
  return stopped;
}
