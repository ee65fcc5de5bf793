import { Refusal } from './refusal.js';

/** Of a capability, what decides whether Lariat has it. */
export interface AskedAccess {
  readonly block?: object | null;
  readonly mount?: { readonly fsType: string } | null;
  readonly accessMode: { readonly mode: string } | null;
}

/** A volume has one engine, on one node (invariant 3). */
const SUPPORTED_MODES: ReadonlySet<string> = new Set([
  'SINGLE_NODE_WRITER',
  'SINGLE_NODE_READER_ONLY',
  'SINGLE_NODE_SINGLE_WRITER',
  'SINGLE_NODE_MULTI_WRITER',
]);

const FILE_SYSTEMS: ReadonlySet<string> = new Set(['', 'ext4', 'xfs']);

/** Why a volume can not be used so; undefined when it can. */
export function whyNotAccess({ block, mount, accessMode }: AskedAccess): string | undefined {
  if (block == null && mount == null) return 'neither block nor mount is asked for';
  const mode = accessMode?.mode ?? 'UNKNOWN';
  if (mode === 'UNKNOWN') return 'no access mode is asked for';
  if (!SUPPORTED_MODES.has(mode))
    return `access mode ${mode} is not offered: a volume is used on one node at a time`;
  if (mount != null && !FILE_SYSTEMS.has(mount.fsType))
    return `file system '${mount.fsType}' is not offered: use ext4 or xfs`;
  return undefined;
}

/** One access at least, and each as Lariat has it. */
export function assertAccess(asked: readonly AskedAccess[]): void {
  if (asked.length === 0)
    throw new Refusal('INVALID_ARGUMENT', 'A volume capability is missing: give at least one.');
  for (const one of asked) {
    const why = whyNotAccess(one);
    if (why !== undefined) throw new Refusal('INVALID_ARGUMENT', `The volume capability: ${why}.`);
  }
}

export function requireAccess<Access extends AskedAccess>(asked: Access | null): Access {
  assertAccess(asked === null ? [] : [asked]);
  return asked as Access;
}

export const isReadOnlyMode = ({ accessMode }: AskedAccess): boolean =>
  accessMode?.mode === 'SINGLE_NODE_READER_ONLY';
