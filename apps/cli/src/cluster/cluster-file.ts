import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { LariatError } from '@lariat/kernel';
import type { ProcessIdentity } from './process-identity.js';

export type ProcessKind = 'nats' | 'plugin' | 'agent' | 'target' | 'frontend';

export const ProcessState = Object.freeze({
  starting: 'starting',
  ready: 'ready',
  waiting: 'waiting',
  stopping: 'stopping',
  stopped: 'stopped',
} as const);
export type ProcessState = (typeof ProcessState)[keyof typeof ProcessState];

export interface ProcessRecord {
  readonly name: string;
  readonly kind: ProcessKind;
  readonly state: ProcessState;
  /** Null while it does not run. */
  readonly pid: number | null;
  readonly startTime: string | null;
  /** How often it was started again because it had died. */
  readonly restarts: number;
}

/** `cluster.json`: what runs in a data folder. */
export interface ClusterFile {
  readonly version: 1;
  readonly state: 'starting' | 'ready' | 'stopping';
  readonly dataDir: string;
  readonly natsUrl: string | null;
  readonly startedAt: string;
  readonly supervisor: ProcessIdentity;
  readonly processes: readonly ProcessRecord[];
}

export type TargetKind = 'soft' | 'spdk';

/** `config.json`: what a cluster consists of, for the next `up` on the same folder. */
export interface ClusterConfig {
  readonly version: 1;
  readonly nodes: readonly { readonly name: string; readonly diskSizeBytes: number }[];
}

export function readJsonFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new LariatError({
      kind: 'internal',
      code: 'RECORD_CORRUPT',
      message: `${path} is not JSON; move it away to go on without it.`,
      cause: error,
    });
  }
}

/** A reader sees the old content or the new one, also after a crash. */
export function writeJsonFile(path: string, value: unknown): void {
  mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.${process.pid}.new`;
  writeFileSync(draft, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(draft, path);
}

function readVersioned<T extends { readonly version: 1 }>(
  path: string,
  fields: readonly (keyof T & string)[],
): T | undefined {
  const value = readJsonFile(path);
  if (value === undefined) return undefined;
  const record = value as Readonly<Record<string, unknown>> | null;
  const missing = fields.find((field) => record?.[field] === undefined);
  if (record?.['version'] !== 1 || missing !== undefined) {
    throw new LariatError({
      kind: 'internal',
      code: 'RECORD_CORRUPT',
      message: `${path} is of another version or lacks '${missing ?? 'version'}'; move it away to go on without it.`,
    });
  }
  return value as T;
}

export const readClusterFile = (path: string): ClusterFile | undefined =>
  readVersioned<ClusterFile>(path, ['state', 'supervisor', 'processes']);

export const readClusterConfig = (path: string): ClusterConfig | undefined =>
  readVersioned<ClusterConfig>(path, ['nodes']);
