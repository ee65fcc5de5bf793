import type { BlockDevice } from '@lariat/nvme-tcp';
import type { JsonObject } from '../rpc/method.js';

/** A block device inside the target, as `bdev_get_bdevs` shows it. */
export interface Bdev extends BlockDevice {
  /** 1 to 63 characters, unique in the target together with all aliases and uuids. */
  readonly name: string;
  /** Other names it answers to, e.g. `lvs0/lvol0`; its uuid is always one as well. */
  readonly aliases: readonly string[];
  /** e.g. `AIO disk`, `Logical Volume`, `Raid Volume`, `NVMe disk`. */
  readonly productName: string;
  /** `into`: memory of that length which may be used for the answer, and need not. */
  read(offsetBytes: number, lengthBytes: number, into?: Buffer): Promise<Buffer>;
  /** `driver_specific` of bdev_get_bdevs. */
  describe(): JsonObject;
}

/** How a user holds a bdev: `exclusive-write` is what a raid, an lvol store or a writable namespace takes. */
export const BdevClaim = Object.freeze({
  exclusiveWrite: 'exclusive-write',
  shared: 'shared',
} as const);
export type BdevClaim = (typeof BdevClaim)[keyof typeof BdevClaim];

export const BdevEvent = Object.freeze({
  register: 'bdev_register',
  unregister: 'bdev_unregister',
  resize: 'bdev_resize',
} as const);
export type BdevEvent = (typeof BdevEvent)[keyof typeof BdevEvent];

/** Told of each event after the registry has changed; `unregister` lets users (raid, nvmf) drop the bdev. */
export type BdevListener = (event: BdevEvent, bdev: Bdev) => void;

/** All bdevs of a target. Lookups take a name, an alias or a uuid. */
export interface BdevRegistry {
  /** Throws RpcError EEXIST when the name, an alias or the uuid is in use already. */
  register(bdev: Bdev): void;
  /** Removes it and tells the listeners; does nothing for a bdev that is not registered. */
  unregister(bdev: Bdev): void;
  /** Unregisters it and resolves when no module stands on it any longer. */
  remove(bdev: Bdev): Promise<void>;
  /** Announces a changed size. */
  resized(bdev: Bdev): void;
  /** Renames in place (bdev_lvol_rename changes an alias). */
  setAliases(bdev: Bdev, aliases: readonly string[]): void;
  find(nameOrAliasOrUuid: string): Bdev | undefined;
  list(): readonly Bdev[];
  /** Throws RpcError EPERM when a claim of another user excludes this one. */
  claim(bdev: Bdev, user: string, claim: BdevClaim): void;
  release(bdev: Bdev, user: string): void;
  claimOf(bdev: Bdev): { readonly user: string; readonly claim: BdevClaim } | undefined;
  listen(listener: BdevListener): () => void;
}
