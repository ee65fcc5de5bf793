import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface Mount {
  /** `7:0` */
  readonly device: string;
  readonly mountPoint: string;
  readonly type: string;
}

/** Lines of mountinfo (proc_pid_mountinfo(5)); its octal escapes are undone. */
export function parseMounts(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , device, , mountPoint] = before.split(' ');
    const [type] = after.split(' ');
    if (device === undefined || mountPoint === undefined || type === undefined) return [];
    return [{ device, mountPoint: unescaped(mountPoint), type }];
  });
}

const unescaped = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_all, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );

export function ownMounts(): readonly Mount[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** Of every mount namespace: a volume may be mounted in a container. */
export function allMounts(): readonly Mount[] {
  const seen = new Set<string>();
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (seen.has(namespace)) return [];
      const mounts = parseMounts(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'));
      seen.add(namespace);
      return mounts;
    } catch {
      // It has ended, or is another user's.
      return [];
    }
  });
}
