import type { MethodCall } from '../rpc/method.js';
import { MeteredBdev } from './metered-bdev.js';
import type { RaidModule } from './raid/raid-module.js';
import { RATE_LIMIT_NAMES } from './rate-limits.js';
import type { TargetBdevs } from './registry.js';

export interface BdevConfigDeps {
  readonly registry: TargetBdevs;
  readonly raids: RaidModule;
  /** The calls of the nvme module. */
  readonly nvmeConfig: () => readonly MethodCall[];
}

/**
 * The calls that lead to the bdevs of now. Lvols are not among them: they are on their disks. A raid or an
 * overlay may be asked for before its base is there; it waits.
 */
export function bdevConfig({ registry, raids, nvmeConfig }: BdevConfigDeps): readonly MethodCall[] {
  const bdevs = registry.list().filter((bdev) => bdev instanceof MeteredBdev);
  const registered = new Set<MeteredBdev>(bdevs);
  const waiting = raids.list().filter((raid) => !registered.has(raid));
  const creations = [...bdevs, ...waiting].flatMap(({ creation }) => creation ?? []);
  return [
    raids.optionsCall,
    ...nvmeConfig(),
    ...creations,
    // Lvols can be limited as soon as they are there.
    { method: 'bdev_wait_for_examine' },
    ...bdevs.flatMap(limitsOf),
  ];
}

function limitsOf({ name, limits }: MeteredBdev): readonly MethodCall[] {
  const set = RATE_LIMIT_NAMES.filter((limit) => limits.values[limit] > 0);
  if (set.length === 0) return [];
  const values = Object.fromEntries(set.map((limit) => [limit, limits.values[limit]]));
  return [{ method: 'bdev_set_qos_limit', params: { name, ...values } }];
}
