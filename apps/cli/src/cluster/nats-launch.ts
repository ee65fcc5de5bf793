import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BusUser, type PermissionOptions, authorizationConfig } from '@lariat/bus';
import { delay } from '@lariat/kernel';

/** Above what the streams may hold together: JetStream sets the maximum of each aside. */
const MAX_FILE_STORE = '8GB';
const MAX_MEMORY_STORE = '256MB';

export interface NatsSettings extends PermissionOptions {
  readonly folder: string;
  readonly address: string;
  /** -1 lets the server choose a free one; it writes the choice into a ports file. */
  readonly port: number;
  readonly users: readonly BusUser[];
}

export function natsConfig({ folder, address, port, users, ...options }: NatsSettings): string {
  return [
    `host: ${JSON.stringify(address)}`,
    `port: ${port}`,
    `ports_file_dir: ${JSON.stringify(folder)}`,
    'max_payload: 8MB',
    'jetstream {',
    `  store_dir: ${JSON.stringify(join(folder, 'jetstream'))}`,
    `  max_file_store: ${MAX_FILE_STORE}`,
    `  max_memory_store: ${MAX_MEMORY_STORE}`,
    '}',
    authorizationConfig(users, options),
  ].join('\n');
}

export const natsConfigPath = (folder: string): string => join(folder, 'nats.conf');

export function writeNatsConfig(settings: NatsSettings): void {
  const { folder } = settings;
  mkdirSync(folder, { recursive: true });
  writeFileSync(natsConfigPath(folder), natsConfig(settings));
}

/** A killed server leaves its ports file; its pid may come again. */
export function removePortsFiles(folder: string): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    if (name.endsWith('.ports')) rmSync(join(folder, name), { force: true });
  }
}

/** What the server logs when it has read its configuration anew, or has found it wrong. */
export const NATS_RELOADED = /Reloaded server configuration|Failed to reload/;

/** The first client URL of a ports file. */
export function parsePortsFile(text: string): string | undefined {
  const ports = JSON.parse(text) as { nats?: readonly unknown[] };
  const url = ports.nats?.[0];
  return typeof url === 'string' ? url : undefined;
}

const POLL_MS = 10;

/** The URL on which the server with this pid serves; undefined when `signal` aborts first. */
export async function waitForNatsUrl(
  folder: string,
  pid: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  while (!signal.aborted) {
    const name = readdirSync(folder).find((entry) => entry.endsWith(`_${pid}.ports`));
    const path = name === undefined ? undefined : join(folder, name);
    if (path !== undefined && existsSync(path)) {
      try {
        const url = parsePortsFile(readFileSync(path, 'utf8'));
        if (url !== undefined) return url;
      } catch {
        // Half written: read again.
      }
    }
    await delay(POLL_MS, signal);
  }
  return undefined;
}

export const portOf = (natsUrl: string): number => Number(new URL(natsUrl).port);
