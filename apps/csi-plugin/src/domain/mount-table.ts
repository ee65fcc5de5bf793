export interface Mount {
  readonly path: string;
  /** `7:3` */
  readonly majorMinor: string;
  /** Of the mounted file system, what is seen there: `/` but for bind mounts of parts of it. */
  readonly root: string;
  readonly options: readonly string[];
  readonly fsType: string;
  readonly source: string;
}

/** The lines of /proc/self/mountinfo; of several mounts at one path the last is on top. */
export function parseMountInfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , majorMinor, root, path, options] = before.split(' ');
    const [fsType, source] = after.split(' ');
    if (majorMinor === undefined || root === undefined || path === undefined) return [];
    return [
      {
        ...{ majorMinor, path: unescape(path), root: unescape(root) },
        options: (options ?? '').split(','),
        fsType: fsType ?? '',
        source: unescape(source ?? ''),
      },
    ];
  });
}

/** The kernel writes blanks, tabs, newlines and backslashes as octal numbers. */
const unescape = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_match, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );

export const mountAt = (mounts: readonly Mount[], path: string): Mount | undefined =>
  mounts.findLast((mount) => mount.path === path);
