import {
  type RecordKind,
  type RecordPosition,
  comparePositions,
  lariatError,
} from '@lariat/contracts';
import type { JournalPort } from '../ports/journal.port.js';

/**
 * Refuses to take away what this node knows more of than whoever decided on it: in a store that was set back, a replica that
 * is not wanted may be the one that has all writes, and a copy of an image the last one (docs/adr/0016).
 */
export function requireNoNewerRecord(
  journal: JournalPort,
  kind: RecordKind,
  id: string,
  decidedBy: RecordPosition | undefined,
): void {
  const held = journal.recordPosition(kind, id);
  if (held === undefined || decidedBy === undefined || comparePositions(held, decidedBy) <= 0)
    return;
  const textOf = ({ generation, revision }: RecordPosition): string => `${generation}.${revision}`;
  throw lariatError(
    'RECORD_STALE',
    `this node keeps record ${textOf(held)} of ${kind} ${id}, and ${textOf(decidedBy)} is older: nothing is taken away by it; see 'lariat recover --dry-run'`,
    { [kind]: id, held: { ...held } },
  );
}

/** The copy of a record goes with the last thing of the volume or image that this node has. */
export async function dropUnneededRecord(
  journal: JournalPort,
  kind: RecordKind,
  id: string,
): Promise<void> {
  if (!journal.ownsPartOf(kind, id)) await journal.dropRecord(kind, id);
}
