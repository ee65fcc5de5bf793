import { createHash } from 'node:crypto';
import { isDnsLabel, isLariatId } from '@lariat/kernel';
import { Refusal } from './refusal.js';

/** The interface's own bound. */
const MAX_NAME_BYTES = 128;
const DERIVED_LENGTH = 40;

/**
 * The name that something asked for by a container orchestrator has here: its own where that is a name of ours, else one
 * that follows from it. The label `csi-name` has the name as asked.
 */
export function lariatNameOf(name: string): string {
  if (Buffer.byteLength(name) > MAX_NAME_BYTES || /\p{Cc}/u.test(name)) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      `A name has at most ${MAX_NAME_BYTES} bytes and no control characters.`,
    );
  }
  if (isDnsLabel(name) && !isLariatId(name)) return name;
  const digest = createHash('sha256').update(name).digest('hex').slice(0, DERIVED_LENGTH);
  return `csi-${digest}`;
}

/** How a snapshot is known to the orchestrator: with its volume, so that nothing has to be searched. */
export const snapshotIdOf = (volume: string, snapshot: string): string => `${volume}/${snapshot}`;

/** Undefined for what this plugin has never given out: there is no such snapshot. */
export function partsOfSnapshotId(
  id: string,
): { readonly volume: string; readonly snapshot: string } | undefined {
  const [volume = '', snapshot = '', ...rest] = id.split('/');
  if (rest.length > 0 || !isLariatId(volume) || !isLariatId(snapshot)) return undefined;
  return { volume, snapshot };
}
