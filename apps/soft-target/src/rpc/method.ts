export type JsonObject = { readonly [key: string]: unknown };

/**
 * A JSON-RPC method. `decode` turns the request's `params` into what `run` takes, and throws
 * ParamsMisfit for a missing, unknown or ill-typed parameter, as SPDK's decoders do.
 */
export interface RpcMethod<Params> {
  readonly decode: (params: JsonObject) => Params;
  readonly run: (params: Params) => unknown;
}

/** Ties a method's decoder to its handler, so that tables can hold methods of different parameters. */
export function method<Params>(
  decode: (params: JsonObject) => Params,
  run: (params: Params) => unknown,
): RpcMethod<unknown> {
  return { decode, run: (params) => run(params as Params) };
}

/** A call as framework_get_config gives it. */
export interface MethodCall {
  readonly method: string;
  readonly params?: JsonObject;
}

/** Methods of one module by their SPDK names, e.g. `bdev_lvol_create`. */
export type MethodTable = Readonly<Record<string, RpcMethod<unknown>>>;
