import type { MethodTable } from '../rpc/method.js';
import { TARGET_VERSION, type TargetVersion } from './version.js';

/**
 * own: all that soft-target can. stock: what stock SPDK has alone, answered as stock SPDK answers it, so that whoever uses
 * the target can be tried without what only soft-target has.
 */
export const PERSONALITIES = ['own', 'stock'] as const;
export type Personality = (typeof PERSONALITIES)[number];

/** Methods that stock SPDK does not have. */
const EXTENSIONS: ReadonlySet<string> = new Set([
  'bdev_raid_grow_base_bdev',
  'lariat_bdev_quiesce',
  'lariat_bdev_unquiesce',
  'lariat_lvol_get_cluster_digests',
  'lariat_raid_confirm_losses',
  'lariat_raid_hold_losses',
]);

export function methodsOf(personality: Personality, all: MethodTable): MethodTable {
  if (personality === 'own') return all;
  return Object.fromEntries(Object.entries(all).filter(([name]) => !EXTENSIONS.has(name)));
}

/** Base bdevs that a raid1 has at least. */
export const minMirrorBasesOf = (personality: Personality): number =>
  personality === 'own' ? 1 : 2;

/** It says which program it is in either case. */
export function versionOf(personality: Personality): TargetVersion {
  if (personality === 'own') return TARGET_VERSION;
  const { major, minor, patch } = TARGET_VERSION.fields;
  const fields = { major, minor, patch, suffix: '-stock' };
  return { version: `SPDK v26.05 methods alone, of ${TARGET_VERSION.version}`, fields };
}
