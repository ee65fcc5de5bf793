/** What can be wrong with a store; `leaked-*` alone can be repaired without losing anything. */
export type FindingKind =
  | 'metadata-unreadable'
  | 'metadata-missing'
  | 'store-record'
  | 'lvol-record'
  | 'extent-record'
  | 'leaked-table'
  | 'leaked-entries'
  | 'double-use'
  | 'outside-disk'
  | 'shared-table'
  | 'duplicate-name'
  | 'dangling-parent'
  | 'parent-cycle'
  | 'writable-parent'
  | 'over-reserved'
  | 'superblock'
  | 'disk-too-small';

export interface Finding {
  readonly kind: FindingKind;
  /** Says what is wrong, with the names of the lvols. */
  readonly message: string;
}

export function isLeak({ kind }: Finding): boolean {
  return kind === 'leaked-table' || kind === 'leaked-entries';
}

/** `3, 4, 5 and 12 more` */
export function someOf(values: readonly (string | number)[]): string {
  const shown = values.slice(0, 8).join(', ');
  return values.length > 8 ? `${shown} and ${values.length - 8} more` : shown;
}
