import { FormatType, FsType } from '@lariat/contracts';
import { luksFormat, luksTest } from './encryption-commands.js';
import type { Program } from './program.js';

/** What is put on a device, and what a header is made with. */
export interface Format {
  readonly fsType: FormatType;
  readonly uuid: string;
  readonly passphrase: string;
}

/** What was never written reads as zeros: nothing is discarded first, which targets may answer with old data. */
export function mkfs({ fsType, uuid, passphrase }: Format, device: string): Program {
  switch (fsType) {
    case FormatType.luks:
      return luksFormat(uuid, device, passphrase);
    case FsType.ext4:
      return {
        program: 'mkfs.ext4',
        args: ['-q', '-F', '-m', '0', '-E', 'nodiscard', '-U', uuid, device],
      };
    case FsType.xfs:
      return { program: 'mkfs.xfs', args: ['-q', '-f', '-K', '-m', `uuid=${uuid}`, device] };
  }
}

/** Looks whether what was made is whole, and changes nothing. */
export function check({ fsType, passphrase }: Format, device: string): Program {
  switch (fsType) {
    case FormatType.luks:
      return luksTest(device, passphrase);
    case FsType.ext4:
      return { program: 'e2fsck', args: ['-f', '-n', device] };
    case FsType.xfs:
      return { program: 'xfs_repair', args: ['-n', device] };
  }
}

/** What is to be done before a mount by oneself, and the exit codes after which it may be mounted; xfs does it itself. */
export const repair = (
  fsType: string | null,
  device: string,
): (Program & { readonly isFine: (code: number) => boolean }) | undefined =>
  fsType?.startsWith('ext') === true
    ? // 1: errors were put right.
      { program: 'e2fsck', args: ['-p', device], isFine: (code) => code <= 1 }
    : undefined;

/** Lets the file system fill its device; one that does so already stays as it is. Undefined: it can't be. */
export function grow(fsType: string, device: string, path: string): Program | undefined {
  if (fsType.startsWith('ext')) return { program: 'resize2fs', args: [device] };
  if (fsType === FsType.xfs) return { program: 'xfs_growfs', args: [path] };
  return undefined;
}

/** `fsType` null: as the kernel finds it. */
export function mountDevice(
  device: string,
  path: string,
  fsType: string | null,
  options: readonly string[],
): Program {
  const all = [...options, ...(fsType === FsType.xfs ? ['nouuid'] : [])];
  return {
    program: 'mount',
    args: [
      ...(fsType === null ? [] : ['-t', fsType]),
      ...(all.length === 0 ? [] : ['-o', Array.from(new Set(all)).join(',')]),
      device,
      path,
    ],
  };
}

export const bindMount = (from: string, to: string): Program => ({
  program: 'mount',
  args: ['--bind', from, to],
});

export const remountReadOnly = (path: string): Program => ({
  program: 'mount',
  args: ['-o', 'remount,bind,ro', path],
});

export const unmount = (path: string, how: 'plain' | 'lazy' = 'plain'): Program => ({
  program: 'umount',
  args: how === 'lazy' ? ['-l', path] : [path],
});
