import { HEADERS } from '@lariat/contracts';
import { type ErrorRecord, LariatError, isErrorRecord } from '@lariat/kernel';
import { type MsgHdrs, headers } from '@nats-io/nats-core';
import { EncodedJson, decodeJson, encodeJson } from './json.js';

/** What a requester gets: `{data}` or `{error}` (design section 3). */
export type ReplyBody =
  | { readonly data: unknown }
  | { readonly error: ErrorRecord & { readonly traceId?: string } };

/** HTTP-like numbers for `Nats-Service-Error-Code`, as NATS service clients expect. */
const STATUS_BY_KIND: Readonly<Record<ErrorRecord['kind'], string>> = {
  invalid: '400',
  not_found: '404',
  conflict: '409',
  precondition: '412',
  unavailable: '503',
  timeout: '504',
  internal: '500',
};

export function encodeData(data: unknown): Uint8Array {
  return data instanceof EncodedJson
    ? new TextEncoder().encode(`{"data":${data.text}}`)
    : encodeJson({ data });
}

export function encodeError(
  error: LariatError,
  traceId: string | undefined,
): { body: Uint8Array; headers: MsgHdrs } {
  const record = { ...error.toRecord(), ...(traceId === undefined ? {} : { traceId }) };
  const head = headers();
  head.set(HEADERS.errorCode, STATUS_BY_KIND[error.kind]);
  // A header is one line.
  head.set(HEADERS.error, `${error.code}: ${error.message}`.replaceAll(/[\r\n]+/g, ' '));
  return { body: encodeJson({ error: record }), headers: head };
}

/** The `data` of a reply; throws the error that it carries. */
export function decodeReply(payload: Uint8Array): unknown {
  const body = decodeJson(payload);
  if (typeof body === 'object' && body !== null) {
    if ('error' in body && isErrorRecord(body.error)) {
      const { traceId } = body.error as { traceId?: unknown };
      const details =
        typeof traceId === 'string' ? { ...body.error.details, traceId } : body.error.details;
      throw LariatError.fromRecord({
        ...body.error,
        ...(details === undefined ? {} : { details }),
      });
    }
    if ('data' in body) return body.data;
  }
  throw new LariatError({
    kind: 'internal',
    code: 'INTERNAL',
    message: 'The reply is neither {data} nor {error}.',
  });
}
