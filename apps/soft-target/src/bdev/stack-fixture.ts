import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../app/log.js';
import type { JsonObject, MethodTable } from '../rpc/method.js';
import { aioMethods } from './aio/aio-methods.js';
import { bdevMethods } from './bdev-methods.js';
import { gateMethods } from './gates/gate-methods.js';
import { IoGates } from './gates/io-gates.js';
import { isOwned } from './lvol/cluster-table.js';
import { lvolMethods } from './lvol/lvol-methods.js';
import type { LvolStore } from './lvol/lvol-store.js';
import { LvolStores } from './lvol/lvol-stores.js';
import { lvsMethods } from './lvol/lvs-methods.js';
import { mallocMethods } from './malloc/malloc-methods.js';
import { delayMethods } from './overlay/delay-methods.js';
import { errorMethods } from './overlay/error-methods.js';
import { raidMethods } from './raid/raid-methods.js';
import { RaidModule } from './raid/raid-module.js';
import { TargetBdevs } from './registry.js';

/** The bdev modules of a target without the rest of it, for tests. */
export interface BdevStack {
  readonly registry: TargetBdevs;
  readonly stores: LvolStores;
  readonly raids: RaidModule;
  call(method: string, params?: JsonObject): Promise<unknown>;
  close(): Promise<void>;
}

export function startBdevStack(stateDir: string): BdevStack {
  const registry = new TargetBdevs();
  const stores = new LvolStores({ registry, stateDir, log: silentLog });
  const raids = new RaidModule({ registry, log: silentLog });
  const gates = new IoGates();
  const methods: MethodTable = {
    ...bdevMethods({ registry, examine: (bdev) => stores.examine(bdev) }),
    ...aioMethods({ registry }),
    ...mallocMethods({ registry }),
    ...delayMethods({ registry, log: silentLog }),
    ...errorMethods({ registry, log: silentLog }),
    ...lvsMethods({ stores }),
    ...lvolMethods({ registry, stores }),
    ...raidMethods({ registry, raids, gates }),
    ...gateMethods({ registry, gates }),
  };
  return {
    registry,
    stores,
    raids,
    call: async (name, params = {}) => {
      const method = methods[name];
      if (method === undefined) throw new Error(`there is no method ${name}`);
      return method.run(method.decode(params));
    },
    close: () => stores.close(),
  };
}

/** A folder of the test's own, and how to remove it. */
export async function makeTestFolder(): Promise<readonly [string, () => Promise<void>]> {
  const folder = await mkdtemp(join(tmpdir(), 'lariat-bdev-'));
  return [folder, () => rm(folder, { recursive: true, force: true })];
}

/** Every way in which a store's space does not add up; none when it is well. */
export function accountingErrors(store: LvolStore): readonly string[] {
  const errors: string[] = [];
  const owners = new Map<number, string>();
  let held = 0;
  for (const lvol of store.lvols.values()) {
    let owned = 0;
    for (const [cluster, entry] of lvol.table.entries()) {
      if (cluster >= lvol.sizeClusters)
        errors.push(`${lvol.name} has cluster ${cluster} past its end`);
      if (!isOwned(entry)) continue;
      owned += 1;
      const other = owners.get(entry);
      if (other !== undefined) errors.push(`${entry} is both ${other}'s and ${lvol.name}'s`);
      owners.set(entry, lvol.name);
    }
    if (owned !== lvol.table.ownedCount) errors.push(`${lvol.name} miscounts its clusters`);
    held += owned + lvol.reservedClusters;
  }
  const { freeCount, dataClusters } = store.allocator;
  if (held + freeCount !== dataClusters) {
    errors.push(`${held} held and ${freeCount} free are not ${dataClusters}`);
  }
  return errors;
}
