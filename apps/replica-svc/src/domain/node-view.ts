import type { DiskRecord, DiskView, NodeRecord, NodeView } from '@lariat/contracts';

/** What placement has promised on a disk. */
export interface Promised {
  readonly scheduledBytes: number;
  readonly replicas: number;
}

export function toDiskView(node: string, disk: DiskRecord, promised: Promised): DiskView {
  return {
    id: disk.id,
    node,
    name: disk.name,
    path: disk.path,
    tags: disk.tags,
    capacityBytes: disk.capacityBytes,
    scheduledBytes: promised.scheduledBytes,
    availableBytes: Math.max(0, disk.capacityBytes - promised.scheduledBytes),
    replicas: promised.replicas,
  };
}

export function toNodeView(node: NodeRecord, promisedOn: (disk: string) => Promised): NodeView {
  return {
    ...node,
    disks: node.disks.map((disk) => toDiskView(node.name, disk, promisedOn(disk.id))),
  };
}
