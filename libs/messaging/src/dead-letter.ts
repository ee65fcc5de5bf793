import { deadLetterSubject } from '@lariat/contracts';
import type { ErrorRecord } from '@lariat/kernel';
import { type JetStreamClient, type JsMsg } from '@nats-io/jetstream';
import { encodeJson } from './json.js';

/**
 * Keeps a message that can't be handled, with the reason, and ends its delivery. nats-server 2.9 ignores the
 * reason of a +TERM (seen 2026-11), so it stands in the record.
 */
export async function deadLetter(
  js: JetStreamClient,
  stream: string,
  message: JsMsg,
  reason: ErrorRecord,
): Promise<void> {
  await js.publish(
    deadLetterSubject(stream),
    encodeJson({
      stream,
      subject: message.subject,
      streamSequence: message.seq,
      deliveryCount: message.info.deliveryCount,
      reason,
      at: new Date().toISOString(),
      body: Buffer.from(message.data).toString('base64'),
    }),
  );
  message.term();
}
