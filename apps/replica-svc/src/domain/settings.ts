import {
  DEFAULT_NODE_SETTINGS,
  type DiskSettings,
  type NodeRecord,
  type NodeSettings,
  diskSettingsOf,
  lariatError,
} from '@lariat/contracts';
import { formatBytes } from '@lariat/kernel';

/** What a request changes; undefined leaves it as it is. */
export type Changes<T> = { readonly [Key in keyof T]?: T[Key] | undefined };

/** The node with other settings; the very same when nothing differs. Pure. */
export function withNodeSettings(
  node: NodeRecord,
  asked: Changes<Pick<NodeSettings, 'tags' | 'zone'>>,
): NodeRecord {
  const settings = node.settings ?? DEFAULT_NODE_SETTINGS;
  const { tags = settings.tags, zone = settings.zone } = asked;
  const next = { ...node, settings: { ...settings, tags: unique(tags), zone } };
  return same(next, { ...node, settings }) ? node : next;
}

/** The node with other settings of one of its disks; the very same when nothing differs. Pure. */
export function withDiskSettings(
  node: NodeRecord,
  disk: string,
  asked: Changes<DiskSettings>,
): NodeRecord {
  const there = node.disks.find(({ id }) => id === disk);
  if (there === undefined) throw diskNotFound(node.name, disk);
  const before = diskSettingsOf(node, disk);
  const {
    tags = before.tags,
    schedulable = before.schedulable,
    reservedBytes = before.reservedBytes,
    overProvisioningPercent = before.overProvisioningPercent,
  } = asked;
  if (reservedBytes !== before.reservedBytes && reservedBytes > there.capacityBytes) {
    throw lariatError(
      'SIZE_INVALID',
      `Disk '${there.name}' of node '${node.name}' has ${formatBytes(there.capacityBytes)}: ${formatBytes(reservedBytes)} can't be reserved. Cordon it to place nothing there.`,
      { node: node.name, disk, capacityBytes: there.capacityBytes },
    );
  }
  const after: DiskSettings = {
    tags: tags === null ? null : unique(tags),
    schedulable,
    reservedBytes,
    overProvisioningPercent,
  };
  if (same(after, before)) return node;
  const settings = node.settings ?? DEFAULT_NODE_SETTINGS;
  return { ...node, settings: { ...settings, disks: { ...settings.disks, [disk]: after } } };
}

/** The node without what was set on a disk that it does not have any more. Pure. */
export function withoutDisk(node: NodeRecord, disk: string): NodeRecord {
  const disks = node.disks.filter((other) => other.id !== disk);
  if (disks.length === node.disks.length) return node;
  if (node.settings === undefined) return { ...node, disks };
  const left = Object.entries(node.settings.disks).filter(([id]) => id !== disk);
  return { ...node, disks, settings: { ...node.settings, disks: Object.fromEntries(left) } };
}

export function diskNotFound(node: string, disk: string): Error {
  return lariatError(
    'DISK_NOT_FOUND',
    `Node '${node}' has no disk '${disk}'. See 'lariat disk list'.`,
    { node, disk },
  );
}

const unique = (tags: readonly string[]): readonly string[] => [...new Set(tags)];
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
