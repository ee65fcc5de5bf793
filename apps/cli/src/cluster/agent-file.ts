import { statSync } from 'node:fs';
import { readJsonFile, type ProcessRecord } from './cluster-file.js';
import type { ClusterPaths } from './paths.js';
import { identifyAt, type ProcessIdentity } from './process-identity.js';

/** One process that a node's agent started or is. */
export interface NodeProcess extends ProcessIdentity {
  readonly kind: 'agent' | 'target' | 'frontend';
}

function pidsOf(value: unknown): readonly number[] {
  const list = Array.isArray(value) ? value : [value];
  return list
    .map((entry: unknown) =>
      typeof entry === 'object' && entry !== null && 'pid' in entry ? entry.pid : entry,
    )
    .filter((pid): pid is number => typeof pid === 'number' && Number.isInteger(pid) && pid > 1);
}

/** What of a node runs now, by what its agent wrote down in `agent.json`. */
export function readNodeProcesses(paths: ClusterPaths, node: string): readonly NodeProcess[] {
  const path = paths.agentFile(node);
  const record = readJsonFile(path) as Readonly<Record<string, unknown>> | undefined;
  if (record === undefined) return [];
  const writtenAtMs = statSync(path).mtimeMs;
  const found = new Map<number, NodeProcess>();
  const add = (kind: NodeProcess['kind'], value: unknown): void => {
    for (const pid of pidsOf(value)) {
      const identity = identifyAt(pid, writtenAtMs);
      // A frontend that the agent serves itself has the agent's pid: it is listed once.
      if (identity !== undefined && !found.has(pid)) found.set(pid, { kind, ...identity });
    }
  };
  add('agent', record['agentPid']);
  add('target', record['targetPid']);
  add('frontend', record['frontends']);
  return [...found.values()];
}

/** The same as process records, for `lariat status`; the agent itself is the supervisor's to report. */
export function nodeProcessRecords(paths: ClusterPaths, node: string): readonly ProcessRecord[] {
  return readNodeProcesses(paths, node)
    .filter(({ kind }) => kind !== 'agent')
    .map(({ kind, pid, startTime }, index) => ({
      name: kind === 'target' ? `${node}/target` : `${node}/frontend-${index}`,
      kind,
      state: 'ready',
      pid,
      startTime,
      restarts: 0,
    }));
}
