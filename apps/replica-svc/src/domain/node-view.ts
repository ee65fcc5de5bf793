import {
  type DiskRecord,
  type DiskView,
  type NodeRecord,
  type NodeView,
  allocatableBytes,
  diskSettingsOf,
  dutyOf,
  zoneOf,
} from '@lariat/contracts';

/** What placement has promised on a disk. */
export interface Promised {
  readonly scheduledBytes: number;
  readonly replicas: number;
  readonly images: number;
}

export function toDiskView(
  node: Pick<NodeRecord, 'name' | 'settings'>,
  disk: DiskRecord,
  promised: Promised,
): DiskView {
  const settings = diskSettingsOf(node, disk.id);
  const limitBytes = allocatableBytes(disk.capacityBytes, settings);
  return {
    id: disk.id,
    node: node.name,
    state: disk.lost === undefined ? 'ready' : 'lost',
    reason: disk.lost?.reason ?? null,
    since: disk.lost?.since ?? null,
    name: disk.name,
    path: disk.path,
    tags: settings.tags ?? disk.tags,
    capacityBytes: disk.capacityBytes,
    schedulable: settings.schedulable,
    reservedBytes: settings.reservedBytes,
    overProvisioningPercent: settings.overProvisioningPercent,
    allocatableBytes: limitBytes,
    scheduledBytes: promised.scheduledBytes,
    availableBytes: Math.max(0, limitBytes - promised.scheduledBytes),
    replicas: promised.replicas,
    images: promised.images,
  };
}

export function toNodeView(node: NodeRecord, promisedOn: (disk: string) => Promised): NodeView {
  const { settings, ...record } = node;
  return {
    ...record,
    duty: dutyOf(node),
    zone: zoneOf(node),
    tags: settings?.tags ?? [],
    disks: node.disks.map((disk) => toDiskView(node, disk, promisedOn(disk.id))),
  };
}
