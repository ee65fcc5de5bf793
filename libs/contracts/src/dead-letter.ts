import type { ErrorRecord } from '@lariat/kernel';

/** A message that could not be handled: it is kept, and not delivered again. */
export interface DeadLetterView {
  /** Its number among the dead letters. */
  readonly sequence: number;
  /** The stream that it was in, and its number there. */
  readonly stream: string;
  readonly streamSequence: number;
  readonly subject: string;
  readonly deliveryCount: number;
  /** Why it could not be handled. */
  readonly reason: ErrorRecord;
  readonly at: string;
  readonly bodyBytes: number;
  /** Its first bytes, as text. */
  readonly bodyBegin: string;
}
