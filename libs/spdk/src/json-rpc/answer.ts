/** One element of what SPDK sends: an answer to a call, or an error that belongs to none. */
export type Answer =
  | { readonly kind: 'result'; readonly id: number; readonly result: unknown }
  | {
      readonly kind: 'error';
      readonly id: number;
      readonly rpcCode: number;
      readonly message: string;
    }
  /** SPDK could not read what was sent, so it does not know which call it was. */
  | { readonly kind: 'orphan-error'; readonly rpcCode: number; readonly message: string };

/** Reads one JSON-RPC 2.0 answer; throws AnswerFormatError for what is not one. */
export function parseAnswer(document: Buffer): Answer {
  let value: unknown;
  try {
    value = JSON.parse(document.toString('utf8'));
  } catch (error) {
    throw new AnswerFormatError(`it is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new AnswerFormatError('it is not a JSON object');
  }
  const { id, error } = value as { id?: unknown; error?: unknown };
  if (error !== undefined && error !== null) {
    const failure = parseError(error);
    return isId(id) ? { kind: 'error', id, ...failure } : { kind: 'orphan-error', ...failure };
  }
  if (!('result' in value)) throw new AnswerFormatError('it has neither "result" nor "error"');
  if (!isId(id)) throw new AnswerFormatError(`its id is ${JSON.stringify(id)}`);
  return { kind: 'result', id, result: value.result };
}

function parseError(error: unknown): { rpcCode: number; message: string } {
  const { code, message } = (typeof error === 'object' ? error : {}) as {
    code?: unknown;
    message?: unknown;
  };
  if (typeof code !== 'number' || !Number.isInteger(code)) {
    throw new AnswerFormatError(`error.code is ${JSON.stringify(code)}`);
  }
  return { rpcCode: code, message: typeof message === 'string' ? message : 'no message' };
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value);
}

/** The peer does not speak JSON-RPC 2.0. */
export class AnswerFormatError extends Error {
  override readonly name = 'AnswerFormatError';
}
