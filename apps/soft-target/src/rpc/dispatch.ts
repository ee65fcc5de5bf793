import type { FaultPoints } from '@lariat/kernel';
import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import type { Log } from '../app/log.js';
import { isJsonObject } from './decode.js';
import { hasDuplicateName } from './json-parser.js';
import type { JsonObject, MethodTable } from './method.js';
import { misfitOf, presenceOf } from './param-rules.js';
import { AnswerLost, JsonRpcCode, ParamsMisfit, RpcError } from './rpc-error.js';

export interface DispatchDeps {
  readonly methods: MethodTable;
  readonly log: Log;
  readonly faults: FaultPoints;
}

type RequestId = string | number | bigint | null;

interface Response {
  readonly jsonrpc: '2.0';
  readonly id: RequestId;
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string };
}

interface Request {
  readonly id: RequestId;
  readonly method: string;
  readonly params: unknown;
}

/**
 * Carries out what one JSON document asks for, and gives the document to answer, if any. A request without an
 * id, or with a null one, is answered when it fails only (lib/jsonrpc/jsonrpc_server.c). Rejects with AnswerLost alone.
 */
export async function dispatch(value: unknown, deps: DispatchDeps): Promise<string | undefined> {
  if (!Array.isArray(value)) {
    const response = await answer(value, deps);
    return response === undefined ? undefined : toText(response);
  }
  if (value.length === 0) return toText(invalidRequest());
  // Answers of a batch stand in the order in which they were done, as SPDK's do.
  const done: Response[] = [];
  await Promise.all(
    value.map(async (item: unknown) => {
      const response = await answer(item, deps);
      if (response !== undefined) done.push(response);
    }),
  );
  return done.length === 0 ? undefined : `[${done.map(toText).join(',')}]`;
}

/** The answer to bytes that are not JSON; the connection is closed after it. */
export function parseErrorAnswer(): string {
  return toText(failed(null, new RpcError(JsonRpcCode.parseError, 'Parse error')));
}

async function answer(value: unknown, deps: DispatchDeps): Promise<Response | undefined> {
  const request = parseRequest(value);
  if (request === undefined) return invalidRequest();
  try {
    const result = await run(request, deps);
    return request.id === null
      ? undefined
      : { jsonrpc: '2.0', id: request.id, result: result ?? null };
  } catch (error) {
    if (error instanceof AnswerLost) throw error;
    const refusal = refusalOf(error);
    if (refusal !== undefined) {
      deps.log.info('rpc refused', {
        method: request.method,
        code: refusal.code,
        reason: (error as Error).message,
      });
      return failed(request.id, refusal);
    }
    deps.log.error('rpc handler failed', { method: request.method, error: describeError(error) });
    return failed(request.id, new RpcError(JsonRpcCode.internalError, 'Internal error'));
  }
}

/** Undefined for an error that only a bug explains. I/O may fail beneath any method, as when its bdev is removed meanwhile. */
function refusalOf(error: unknown): RpcError | undefined {
  if (error instanceof RpcError) return error;
  if (!(error instanceof BlockIoError)) return undefined;
  if (error.failure === BlockIoFailure.noSpace) return RpcError.errno('ENOSPC');
  return RpcError.errno(error.failure === BlockIoFailure.gone ? 'ENODEV' : 'EIO');
}

async function run(request: Request, { methods, faults }: DispatchDeps): Promise<unknown> {
  const method = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined;
  if (method === undefined) throw new RpcError(JsonRpcCode.methodNotFound, 'Method not found');
  const params = decodeParams(request, (object) => method.decode(object));
  await faults.reach(`rpc/${request.method}/before`);
  const result = await method.run(params);
  await faults.reach(`rpc/${request.method}/after`);
  return result;
}

/**
 * Null is as if there were none; an array is well-formed, but SPDK's decoders take objects alone. What does not
 * fit is answered in the method's own way.
 */
function decodeParams<T>({ method, params }: Request, decode: (params: JsonObject) => T): T {
  const isGiven = params !== undefined && params !== null;
  const presence = presenceOf(method);
  if (presence === (isGiven ? 'none' : 'required')) throw misfitOf(method);
  if (isGiven && !isJsonObject(params)) throw misfitOf(method);
  try {
    return decode(isGiven ? params : {});
  } catch (error) {
    throw error instanceof ParamsMisfit ? misfitOf(method) : error;
  }
}

const REQUEST_FIELDS: ReadonlySet<string> = new Set(['jsonrpc', 'id', 'method', 'params']);

function parseRequest(value: unknown): Request | undefined {
  if (!isJsonObject(value)) return undefined;
  const { jsonrpc = '2.0', id = null, method, params } = value;
  const wellFormed =
    !hasDuplicateName(value) &&
    Object.keys(value).every((field) => REQUEST_FIELDS.has(field)) &&
    jsonrpc === '2.0' &&
    typeof method === 'string' &&
    (params === undefined || typeof params === 'object');
  if (!wellFormed) return undefined;
  return isRequestId(id) ? { id, method, params } : undefined;
}

function isRequestId(id: unknown): id is RequestId {
  return id === null || typeof id === 'string' || typeof id === 'number' || typeof id === 'bigint';
}

/** An id goes back as it came, also one that a double would round. */
function toText({ id, result, error }: Response): string {
  const idText = typeof id === 'bigint' ? String(id) : JSON.stringify(id);
  const outcome = error === undefined ? { result } : { error };
  return `{"jsonrpc":"2.0","id":${idText},${JSON.stringify(outcome).slice(1)}`;
}

function invalidRequest(): Response {
  return failed(null, new RpcError(JsonRpcCode.invalidRequest, 'Invalid request'));
}

function failed(id: RequestId, error: RpcError): Response {
  return { jsonrpc: '2.0', id, error: { code: error.code, message: error.message } };
}

function describeError(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
