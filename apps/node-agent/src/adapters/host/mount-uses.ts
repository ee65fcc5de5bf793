import { readlinkSync } from 'node:fs';
import { namesIn, textOf } from './kernel-files.js';
import { allMounts, type MountSomewhere, ownNamespace } from './mount-table.js';

/**
 * Where a device is mounted and who keeps it so, by its number (`253:0`): each mount with the processes that have files open
 * on it, or work in it. Asks the kernel alone, and never a file system, which may be on a dead path.
 */
export function mountsOn(number: string): readonly string[] {
  const mounts = allMounts().filter(({ device }) => device === number);
  if (mounts.length === 0) return [];
  const own = ownNamespace();
  const ownPoints = new Set(
    mounts.filter(({ namespace }) => namespace === own).map(({ mountPoint }) => mountPoint),
  );
  // Namespaces are made as copies: what is mounted here at the same place is told once.
  const told = mounts.filter(
    ({ namespace, mountPoint }) => namespace === own || !ownPoints.has(mountPoint),
  );
  const holders = holdersOf(mounts);
  return told.map((mount) => {
    const where = mount.namespace === own ? '' : ` in the mount namespace of ${named(mount.pid)}`;
    const users = mounts
      .filter(({ mountPoint }) => mountPoint === mount.mountPoint)
      .flatMap(({ id }) => holders.get(id) ?? []);
    const by = users.length === 0 ? '' : `, used by ${[...new Set(users)].join(', ')}`;
    return `mounted on ${mount.mountPoint}${where}${by}`;
  });
}

const named = (pid: string): string => `${textOf(`/proc/${pid}/comm`).trim()} (${pid})`;

/** Processes that use the mounts, by a mount's id. */
function holdersOf(mounts: readonly MountSomewhere[]): ReadonlyMap<string, readonly string[]> {
  const holders = new Map<string, string[]>();
  for (const pid of namesIn('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const id of new Set([...openOn(pid), ...worksIn(pid, mounts)])) {
      if (mounts.some((mount) => mount.id === id))
        holders.set(id, [...(holders.get(id) ?? []), named(pid)]);
    }
  }
  return holders;
}

/** Ids of the mounts that files of the process are on. */
function openOn(pid: string): readonly string[] {
  return namesIn(`/proc/${pid}/fdinfo`).flatMap((fd) => {
    const [, id] = /^mnt_id:\s*(\d+)$/m.exec(textOf(`/proc/${pid}/fdinfo/${fd}`)) ?? [];
    return id === undefined ? [] : [id];
  });
}

/** A working folder, or a root, has no entry that tells its mount: its path does, in the process's own namespace. */
function worksIn(pid: string, mounts: readonly MountSomewhere[]): readonly string[] {
  const namespace = target(`/proc/${pid}/ns/mnt`);
  const folders = [target(`/proc/${pid}/cwd`), target(`/proc/${pid}/root`)];
  return mounts
    .filter((mount) => mount.namespace === namespace)
    .filter(({ mountPoint }) =>
      folders.some((folder) => folder === mountPoint || folder.startsWith(`${mountPoint}/`)),
    )
    .map(({ id }) => id);
}

function target(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}
