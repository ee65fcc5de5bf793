import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TIB } from '@lariat/kernel';
import { imageFoldersFrom, lariatError } from '@lariat/contracts';
import { type AllowList, parseAllowList } from './address-guard.js';

/** How the service imports, and keeps copies; from the environment of its process. */
export interface ImageSettings {
  /** LARIAT_IMAGE_ALLOW: addresses that are not public and may be fetched from, as `10.1.0.0/16,127.0.0.1`. */
  readonly allowedAddresses: AllowList;
  /** LARIAT_IMAGE_PATIENCE_MS: how long a server may be silent; over twice that it has to send 16 KiB/s. */
  readonly patienceMs: number;
  /** LARIAT_IMAGE_MAX_BYTES: the largest file, and the largest content. */
  readonly maxBytes: number;
  /** LARIAT_IMAGE_FOLDERS: files are taken from these folders alone, `:` between them; without any, from none. */
  readonly folders: readonly string[];
  /** LARIAT_IMAGE_SCRATCH: where files are unpacked and converted. */
  readonly scratch: string;
  /** LARIAT_IMAGE_EVICT_AFTER_MS: a copy above the minimum that nobody has used or asked for since goes. */
  readonly evictAfterMs: number;
  /** LARIAT_IMAGE_LEAST_FREE_PERCENT: below so much room on a disk its idle copies above the minimum go at once; 0: never. */
  readonly leastFreePercent: number;
  /** LARIAT_IMAGE_STRAY_MS: how long a copy must have had no owner on record before it goes. */
  readonly strayAfterMs: number;
  /** LARIAT_IMAGE_VERIFY_EVERY_MS: how often each copy is read whole; 0: only on request. */
  readonly verifyEveryMs: number;
  /** LARIAT_IMAGE_VERIFY_MIB_PER_SECOND: how fast then; 0: no limit. */
  readonly verifyMibPerSecond: number;
}

const DEFAULT_PATIENCE_MS = 30_000;
const DEFAULT_MAX_BYTES = 16 * TIB;
const DEFAULT_EVICT_AFTER_MS = 24 * 3_600_000;
const DEFAULT_LEAST_FREE_PERCENT = 10;
const DEFAULT_STRAY_MS = 5_000;
const DEFAULT_VERIFY_EVERY_MS = 7 * 24 * 3_600_000;
/** A small part of what a disk reads. */
const DEFAULT_VERIFY_MIB_PER_SECOND = 32;

export function imageSettingsFrom(
  env: Readonly<Record<string, string | undefined>>,
): ImageSettings {
  const allow = env.LARIAT_IMAGE_ALLOW ?? '';
  return {
    allowedAddresses: parseAllowList(allow.split(',').filter((part) => part.trim() !== '')),
    patienceMs: countFrom(env, 'LARIAT_IMAGE_PATIENCE_MS', DEFAULT_PATIENCE_MS, { least: 1 }),
    maxBytes: countFrom(env, 'LARIAT_IMAGE_MAX_BYTES', DEFAULT_MAX_BYTES),
    folders: imageFoldersFrom(env.LARIAT_IMAGE_FOLDERS),
    scratch: env.LARIAT_IMAGE_SCRATCH ?? join(tmpdir(), 'lariat-images'),
    evictAfterMs: countFrom(env, 'LARIAT_IMAGE_EVICT_AFTER_MS', DEFAULT_EVICT_AFTER_MS),
    leastFreePercent: countFrom(
      env,
      'LARIAT_IMAGE_LEAST_FREE_PERCENT',
      DEFAULT_LEAST_FREE_PERCENT,
      { most: 100 },
    ),
    strayAfterMs: countFrom(env, 'LARIAT_IMAGE_STRAY_MS', DEFAULT_STRAY_MS),
    verifyEveryMs: countFrom(env, 'LARIAT_IMAGE_VERIFY_EVERY_MS', DEFAULT_VERIFY_EVERY_MS),
    verifyMibPerSecond: countFrom(
      env,
      'LARIAT_IMAGE_VERIFY_MIB_PER_SECOND',
      DEFAULT_VERIFY_MIB_PER_SECOND,
    ),
  };
}

function countFrom(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
  byDefault: number,
  { least = 0, most = Number.MAX_SAFE_INTEGER } = {},
): number {
  const text = env[name];
  if (text === undefined || text === '') return byDefault;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  throw lariatError(
    'REQUEST_INVALID',
    `${name} must be a whole number from ${least} to ${most}, not '${text}'.`,
  );
}
