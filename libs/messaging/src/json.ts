import { lariatError } from '@lariat/contracts';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

/** A result that is JSON already, so that what was encoded before is not encoded again for each answer. */
export class EncodedJson {
  constructor(readonly text: string) {}
}

/** An empty body is an empty object, so that `nats req lariat.v1.node.list ''` works. */
export function decodeRequestBody(data: Uint8Array): unknown {
  if (data.length === 0) return {};
  return decodeJson(data);
}

/** Throws REQUEST_MALFORMED with the parser's words. */
export function decodeJson(data: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(data));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw lariatError(
      'REQUEST_MALFORMED',
      `The body is not JSON in UTF-8: ${reason}.`,
      undefined,
      cause,
    );
  }
}
