import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface Mount {
  /** The kernel's own number of it: no two mounts have one, in whatever namespace. */
  readonly id: string;
  /** `7:0` */
  readonly device: string;
  readonly mountPoint: string;
  readonly type: string;
}

/** Lines of mountinfo (proc_pid_mountinfo(5)); its octal escapes are undone. */
export function parseMounts(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [id, , device, , mountPoint] = before.split(' ');
    const [type] = after.split(' ');
    if (id === undefined || device === undefined || mountPoint === undefined || type === undefined)
      return [];
    return [{ id, device, mountPoint: unescaped(mountPoint), type }];
  });
}

const unescaped = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_all, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );

export function ownMounts(): readonly Mount[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

export interface MountSomewhere extends Mount {
  /** The mount namespace that it is in, and a process of that one. */
  readonly namespace: string;
  readonly pid: string;
}

export const ownNamespace = (): string => readlinkSync('/proc/self/ns/mnt');

/** Of every mount namespace: a volume may be mounted in a container. */
export function allMounts(): readonly MountSomewhere[] {
  const seen = new Set<string>();
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (seen.has(namespace)) return [];
      const mounts = parseMounts(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'));
      seen.add(namespace);
      return mounts.map((mount) => ({ ...mount, namespace, pid }));
    } catch {
      // It has ended, or is another user's.
      return [];
    }
  });
}
