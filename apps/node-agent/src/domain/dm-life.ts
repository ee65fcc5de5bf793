import type { OwnedDm } from './ownership.js';

/** A device-mapper device of this machine, whoever made it. */
export interface SeenDm {
  /** `/dev/dm-3` */
  readonly device: string;
  readonly uuid: string;
  readonly isSuspended: boolean;
  readonly sizeBytes: number;
  /** `259:2`, of what its table leads to; null: it has none, or one that leads to nothing but errors. */
  readonly over: string | null;
}

/** A namespace that the kernel's NVMe host has. */
export interface SeenNamespace {
  /** `/dev/nvme4n1` */
  readonly device: string;
  readonly number: string;
  readonly uuid: string;
  readonly subsystemNqn: string;
  readonly sizeBytes: number;
}

/** A connection of the kernel's NVMe host. */
export interface SeenController {
  /** `nvme4` */
  readonly name: string;
  readonly subsystemNqn: string;
  readonly hostNqn: string;
}

/** What the machine has. */
export interface DmWorld {
  readonly dms: readonly SeenDm[];
  readonly namespaces: readonly SeenNamespace[];
  readonly controllers: readonly SeenController[];
  /** What the device node of the volume points to; null: there is none. */
  readonly pointsTo: string | null;
  /** Since 1970. */
  readonly nowMs: number;
}

/** What is to be done next. `settled`, `held`, `in-use`: nothing. */
export type DmStep =
  | 'settled'
  | 'held'
  | 'let-go'
  | 'connect'
  | 'await-path'
  | 'create'
  | 'reload'
  | 'resume'
  | 'point-node'
  | 'unpoint-node'
  | 'cut-off'
  | 'fail-io'
  | 'remove'
  | 'in-use'
  | 'disconnect'
  | 'forget';

/** What tells a device of ours from all others; its name means nothing. */
export const dmUuid = ({ name, volume }: OwnedDm): string =>
  `LARIAT-${volume}-${name.slice(volume.length + 1)}`;

export function dmOf(record: OwnedDm, dms: readonly SeenDm[]): SeenDm | undefined {
  const uuid = dmUuid(record);
  return dms.find((dm) => dm.uuid === uuid);
}

/** The connections that this attachment has made, by the host name that no other uses. */
export function connectionsOf(
  { params }: OwnedDm,
  controllers: readonly SeenController[],
): readonly SeenController[] {
  const { hostNqn, endpoint } = params;
  return controllers.filter(
    (controller) => controller.hostNqn === hostNqn && controller.subsystemNqn === endpoint.nqn,
  );
}

/** The volume as the kernel sees it: by the uuid of its namespace, never by the number of a device. */
export function pathOf({ params }: OwnedDm, world: DmWorld): SeenNamespace | undefined {
  const { nqn, uuid } = params.endpoint;
  return world.namespaces.find(
    (namespace) => namespace.subsystemNqn === nqn && namespace.uuid === uuid,
  );
}

/** Whether all that is written to the device is held, and has been since the hold was closed. */
export function isHeld({ params }: OwnedDm, dm: SeenDm | undefined, nowMs: number): boolean {
  const { held = null } = params;
  return held !== null && held.isClosed && nowMs < held.untilMs && dm?.isSuspended === true;
}

/**
 * The next step of one life of a device, from whatever is there now; pure. Each step makes sense after any crash. What is
 * wanted goes on as the same device-mapper device, over whatever path there is; what leaves comes to `forget`.
 */
export function nextDmStep(record: OwnedDm, world: DmWorld): DmStep {
  return record.params.leaving === null ? wanted(record, world) : leaving(record, world);
}

function wanted(record: OwnedDm, world: DmWorld): DmStep {
  const { pointedAt, held = null } = record.params;
  const dm = dmOf(record, world.dms);
  // Nothing beneath it is touched: whoever holds it may be changing that.
  if (held !== null) return isHeld(record, dm, world.nowMs) ? 'held' : 'let-go';
  // Its number may be somebody else's by now.
  if (dm === undefined && pointedAt !== null) return 'unpoint-node';
  if (connectionsOf(record, world.controllers).length === 0) return 'connect';
  const path = pathOf(record, world);
  if (path === undefined) return 'await-path';
  if (dm === undefined) return 'create';
  if (dm.over !== path.number || dm.sizeBytes < path.sizeBytes) return 'reload';
  if (dm.isSuspended) return 'resume';
  return world.pointsTo === dm.device && pointedAt === dm.device ? 'settled' : 'point-node';
}

function leaving(record: OwnedDm, world: DmWorld): DmStep {
  const { pointedAt, isRemoving } = record.params;
  // First: nobody shall find the way to it any more.
  if (pointedAt !== null) return 'unpoint-node';
  const dm = dmOf(record, world.dms);
  const isConnected = connectionsOf(record, world.controllers).length > 0;
  if (dm === undefined) return isConnected ? 'disconnect' : 'forget';
  if (record.params.leaving === 'forced') {
    // In this order: a suspend waits for what is in flight, which on a dead path ends with the connection alone.
    if (isConnected) return 'cut-off';
    if (record.params.isFailed !== true || dm.isSuspended) return 'fail-io';
  } else if (dm.isSuspended) {
    return 'resume';
  }
  return isRemoving ? 'in-use' : 'remove';
}
