import { createHash } from 'node:crypto';
import type { OperationId } from '@lariat/kernel';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const LENGTH = 12;

/** The operation that a caller's idempotency key leads to: the same key, the same operation. */
export function operationIdFor(requestId: string): OperationId {
  const digest = createHash('sha256').update(requestId).digest();
  let text = '';
  for (const byte of digest.subarray(0, LENGTH)) text += ALPHABET.charAt(byte & 31);
  return `op-${text}` as OperationId;
}
