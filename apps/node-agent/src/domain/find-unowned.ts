import { type UnownedKind, isLariatNqn } from '@lariat/contracts';
import { isLariatId } from '@lariat/kernel';
import type {
  LvolInfo,
  LvstoreInfo,
  NvmeControllerInfo,
  NvmfSubsystemInfo,
  RaidInfo,
} from '@lariat/spdk';
import { aioName, namespaceBdev } from './names.js';
import type { OwnedKind } from './ownership.js';

/** What a target says that it has. */
export interface TargetContent {
  readonly stores: readonly LvstoreInfo[];
  readonly lvols: readonly LvolInfo[];
  readonly subsystems: readonly NvmfSubsystemInfo[];
  readonly controllers: readonly NvmeControllerInfo[];
  readonly raids: readonly RaidInfo[];
}

/** A thing of ours that no record names, as the target's lists have it. */
export interface Unowned {
  readonly kind: UnownedKind;
  readonly name: string;
  /** Null: it has none, or its bdev is to be asked. */
  readonly uuid: string | null;
  readonly disk: string | null;
}

/** The kind of the ownership record that would name it. */
export const OWNED_KIND_OF: Readonly<Record<UnownedKind, OwnedKind>> = {
  ...{ lvol: 'lvol', subsystem: 'subsystem', controller: 'controller', raid: 'raid' },
  store: 'disk',
};

/**
 * What is ours by where it is, and by no record: lvols in the stores of our disks, exports and connections under our NQNs,
 * raids of these. Everything else on a target is foreign, whatever it is called (invariant 11). Pure.
 */
export function findUnowned(
  { stores, lvols, subsystems, controllers, raids }: TargetContent,
  isOwned: (kind: OwnedKind, name: string) => boolean,
): readonly Unowned[] {
  const ourStores = new Set(
    stores.filter(({ name }) => isOwned('disk', name)).map(({ name }) => name),
  );
  const ourLvols = lvols.filter(({ lvstoreName }) => ourStores.has(lvstoreName));
  const ourControllers = controllers.filter(({ paths }) =>
    paths.some(({ address }) => isLariatNqn(address.subnqn ?? '')),
  );
  const ourBdevs = new Set([
    ...ourLvols.flatMap(({ uuid, alias }) => [uuid, alias]),
    ...ourControllers.map(({ name }) => namespaceBdev(name)),
  ]);
  const things: readonly Unowned[] = [
    ...stores
      .filter(({ name, baseBdev }) => isLariatId(name) && baseBdev === aioName(name))
      .map(({ name, uuid }) => ({ kind: 'store' as const, name, uuid, disk: name })),
    ...ourLvols.map(({ alias, uuid, lvstoreName }) => ({
      ...{ kind: 'lvol' as const, name: alias, uuid, disk: lvstoreName },
    })),
    ...subsystems
      .filter(({ nqn }) => isLariatNqn(nqn))
      .map(({ nqn, namespaces }) => ({
        ...{ kind: 'subsystem' as const, name: nqn, uuid: namespaces[0]?.uuid ?? null, disk: null },
      })),
    ...ourControllers.map(({ name }) => ({
      ...{ kind: 'controller' as const, name, uuid: null, disk: null },
    })),
    ...raids
      .filter((raid) => isOurs(raid, ourBdevs))
      .map(({ name, uuid }) => ({ kind: 'raid' as const, name, uuid, disk: null })),
  ];
  return things.filter(({ kind, name }) => !isOwned(OWNED_KIND_OF[kind], name));
}

/** All of the legs that it has left are ours, and it has one. */
function isOurs({ baseBdevs }: RaidInfo, ourBdevs: ReadonlySet<string>): boolean {
  const legs = baseBdevs.flatMap(({ name, uuid }) => (name === null ? [] : [{ name, uuid }]));
  return (
    legs.length > 0 && legs.every(({ name, uuid }) => ourBdevs.has(name) || ourBdevs.has(uuid))
  );
}
