import type { FaultPoints } from '@lariat/kernel';
import type { Log } from '../app/log.js';
import { isJsonObject } from './decode.js';
import type { JsonObject, MethodTable } from './method.js';
import { JsonRpcCode, RpcError } from './rpc-error.js';

export interface DispatchDeps {
  readonly methods: MethodTable;
  readonly log: Log;
  readonly faults: FaultPoints;
}

type RequestId = string | number | null;

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
 * id, or with a null one, is answered when it fails only (lib/jsonrpc/jsonrpc_server.c).
 */
export async function dispatch(value: unknown, deps: DispatchDeps): Promise<string | undefined> {
  if (!Array.isArray(value)) {
    const response = await answer(value, deps);
    return response === undefined ? undefined : JSON.stringify(response);
  }
  if (value.length === 0) return JSON.stringify(invalidRequest());
  // Answers of a batch stand in the order in which they were done, as SPDK's do.
  const done: Response[] = [];
  await Promise.all(
    value.map(async (item: unknown) => {
      const response = await answer(item, deps);
      if (response !== undefined) done.push(response);
    }),
  );
  return done.length === 0 ? undefined : JSON.stringify(done);
}

/** The answer to bytes that are not JSON; the connection is closed after it. */
export function parseErrorAnswer(): string {
  return JSON.stringify(failed(null, new RpcError(JsonRpcCode.parseError, 'Parse error')));
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
    if (error instanceof RpcError) {
      deps.log.info('rpc refused', {
        method: request.method,
        code: error.code,
        reason: error.message,
      });
      return failed(request.id, error);
    }
    deps.log.error('rpc handler failed', { method: request.method, error: describeError(error) });
    return failed(request.id, new RpcError(JsonRpcCode.internalError, 'Internal error'));
  }
}

async function run(request: Request, { methods, faults }: DispatchDeps): Promise<unknown> {
  const method = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined;
  if (method === undefined) throw new RpcError(JsonRpcCode.methodNotFound, 'Method not found');
  const params = method.decode(paramsObject(request.params));
  await faults.reach(`rpc/${request.method}/before`);
  const result = await method.run(params);
  await faults.reach(`rpc/${request.method}/after`);
  return result;
}

/** Null is as if there were none; an array is well-formed, but SPDK's decoders take objects alone. */
function paramsObject(params: unknown): JsonObject {
  if (params === undefined || params === null) return {};
  if (!isJsonObject(params)) throw RpcError.invalidParams();
  return params;
}

const REQUEST_FIELDS: ReadonlySet<string> = new Set(['jsonrpc', 'id', 'method', 'params']);

function parseRequest(value: unknown): Request | undefined {
  if (!isJsonObject(value)) return undefined;
  const { jsonrpc = '2.0', id = null, method, params } = value;
  const wellFormed =
    Object.keys(value).every((field) => REQUEST_FIELDS.has(field)) &&
    jsonrpc === '2.0' &&
    typeof method === 'string' &&
    (params === undefined || typeof params === 'object');
  if (!wellFormed) return undefined;
  if (id !== null && typeof id !== 'string' && typeof id !== 'number') return undefined;
  return { id, method, params };
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
