import { SpdkError, type SpdkClient } from '@lariat/spdk';
import { waitUntil } from '../../contract/support/wait-until.js';
import type { TargetProcess } from '../../contract/support/target-process.js';

const SWEEP_DEADLINE_MS = 30_000;

interface Named {
  readonly name: string;
}
interface Bdev extends Named {
  readonly product_name: string;
}
interface Lvol extends Named {
  readonly uuid: string;
  readonly lvs: Named;
}
interface Subsystem {
  readonly nqn: string;
  readonly subtype: string;
}

/** Calls that delete all that the fuzzer may have made, outermost first; `kept` are names of the bystander's. */
async function deletions(
  rpc: SpdkClient,
  kept: ReadonlySet<string>,
): Promise<readonly (readonly [string, object])[]> {
  const list = async <T>(method: string, params: object = {}): Promise<readonly T[]> =>
    (await rpc.call(method, params)) as readonly T[];
  const subsystems = (await list<Subsystem>('nvmf_get_subsystems')).filter(
    ({ nqn, subtype }) => subtype === 'NVMe' && !kept.has(nqn),
  );
  const raids = await list<Named>('bdev_raid_get_bdevs', { category: 'all' });
  const controllers = await list<Named>('bdev_nvme_get_controllers');
  const lvols = (await list<Lvol>('bdev_lvol_get_lvols')).filter(({ lvs }) => !kept.has(lvs.name));
  const stores = (await list<Named>('bdev_lvol_get_lvstores')).filter(
    ({ name }) => !kept.has(name),
  );
  const bdevs = (await list<Bdev>('bdev_get_bdevs')).filter(({ name }) => !kept.has(name));
  const called = (method: string, ...products: readonly string[]) =>
    bdevs
      .filter((bdev) => products.includes(bdev.product_name))
      .map(({ name }) => [method, { name }] as const);
  return [
    ...subsystems.map(({ nqn }) => ['nvmf_delete_subsystem', { nqn }] as const),
    ...raids.map(({ name }) => ['bdev_raid_delete', { name }] as const),
    ...controllers.map(({ name }) => ['bdev_nvme_detach_controller', { name }] as const),
    ...lvols.map(({ uuid }) => ['bdev_lvol_delete', { name: uuid }] as const),
    ...stores.map(({ name }) => ['bdev_lvol_delete_lvstore', { lvs_name: name }] as const),
    ...called('bdev_malloc_delete', 'Malloc disk'),
    ...called('bdev_aio_delete', 'AIO disk'),
  ];
}

/** One round: what is in use stays, for a later one. Gives how much there was to delete. */
async function sweepOnce(target: TargetProcess, kept: ReadonlySet<string>): Promise<number> {
  const calls = await deletions(target.rpc, kept);
  for (const [method, params] of calls) {
    await target.rpc
      .call(method, params, { timeoutMs: SWEEP_DEADLINE_MS })
      .catch((error: unknown) => {
        // Another round, or another lane, may have been first, or something may still stand on it.
        if (!(error instanceof SpdkError) || error.rpcCode === undefined) throw error;
      });
  }
  return calls.length;
}

/** Deletes what fuzzing left, so that it goes on from nothing. */
export async function sweep(target: TargetProcess, kept: ReadonlySet<string>): Promise<void> {
  await sweepOnce(target, kept);
}

/** Deletes until nothing is left; whatever requests have made can be unmade. */
export async function sweepAll(target: TargetProcess, kept: ReadonlySet<string>): Promise<void> {
  await waitUntil('all that was made to be deleted', SWEEP_DEADLINE_MS, async () => {
    return (await sweepOnce(target, kept)) === 0;
  });
}
