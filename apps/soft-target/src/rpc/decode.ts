import { hasDuplicateName } from './json-parser.js';
import { ParamsMisfit, RpcError } from './rpc-error.js';
import type { JsonObject } from './method.js';

/** How one parameter is read; `decode` throws ParamsMisfit for a value of another type. */
export interface Field<T> {
  readonly optional: boolean;
  readonly decode: (value: unknown) => T;
}

type Spec = Readonly<Record<string, Field<unknown>>>;

/** What decodeObject gives: an optional parameter that is absent is `undefined`. */
export type Decoded<S extends Spec> = {
  readonly [K in keyof S]: S[K] extends Field<infer T> ? T : never;
};

function field<T>(accept: (value: unknown) => value is T): Field<T> {
  return {
    optional: false,
    decode: (value) => {
      if (!accept(value)) throw new ParamsMisfit();
      return value;
    },
  };
}

function isUint(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** A string that C can hold: spdk_json_strdup refuses one with a NUL in it. */
export const str: Field<string> = field(
  (value): value is string => typeof value === 'string' && !value.includes('\0'),
);
export const bool: Field<boolean> = field((value): value is boolean => typeof value === 'boolean');
/** SPDK's uint64, as far as a JSON number is exact (2^53 - 1). */
export const uint: Field<number> = field(isUint);
export const uint32: Field<number> = field(
  (value): value is number => isUint(value) && value <= 0xffff_ffff,
);
/** What Node's timers hold, 24.8 days; they take a longer time for 1 ms. */
const MAX_TIMER_MS = 0x7fff_ffff;
/** A time to wait; one that is longer than a timer can be is as long as a timer can be. */
export const timeoutMs: Field<number> = {
  optional: false,
  decode: (value) => Math.min(uint.decode(value), MAX_TIMER_MS),
};
export const int32: Field<number> = field(
  (value): value is number =>
    typeof value === 'number' &&
    Number.isInteger(value) &&
    value >= -0x8000_0000 &&
    value <= 0x7fff_ffff,
);
export const uint16: Field<number> = field(
  (value): value is number => isUint(value) && value <= 0xffff,
);
export const uint8: Field<number> = field(
  (value): value is number => isUint(value) && value <= 0xff,
);

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

/** A UUID in lower case with its dashes, however it was written. */
export const uuid: Field<string> = {
  optional: false,
  decode: (value) => {
    if (typeof value !== 'string' || !UUID.test(value)) throw new ParamsMisfit();
    const hex = value.replaceAll('-', '').toLowerCase();
    return [
      hex.slice(0, 8),
      hex.slice(8, 12),
      hex.slice(12, 16),
      hex.slice(16, 20),
      hex.slice(20),
    ].join('-');
  },
};

export function oneOf<const T extends string>(...values: readonly T[]): Field<T> {
  const known: ReadonlySet<unknown> = new Set(values);
  return field((value): value is T => known.has(value));
}

export function arrayOf<T>(item: Field<T>): Field<readonly T[]> {
  return {
    optional: false,
    decode: (value) => {
      if (!Array.isArray(value)) throw new ParamsMisfit();
      return value.map((entry: unknown) => item.decode(entry));
    },
  };
}

/** A nested object with parameters of its own. */
export function objectOf<S extends Spec>(spec: S): Field<Decoded<S>> {
  const decode = decodeObject(spec);
  return {
    optional: false,
    decode: (value) => {
      if (!isJsonObject(value)) throw new ParamsMisfit();
      return decode(value);
    },
  };
}

export function opt<T>(inner: Field<T>): Field<T | undefined> {
  return {
    optional: true,
    decode: (value) => (value === undefined ? undefined : inner.decode(value)),
  };
}

/**
 * A parameter of SPDK's that this target has nothing behind. It is refused by name, because to pass over it
 * would promise what does not happen; `harmless` values, such as SPDK's default, are let through.
 */
export function unsupported(name: string, ...harmless: readonly unknown[]): Field<undefined> {
  return {
    optional: true,
    decode: (value) => {
      if (value === undefined || harmless.includes(value)) return undefined;
      throw RpcError.errno('ENOTSUP', `soft-target does not support parameter '${name}'`);
    },
  };
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * As strict as spdk_json_decode_object (lib/json/json_util.c): a missing required parameter, an unknown one,
 * or one of another type refuses the whole request.
 */
export function decodeObject<S extends Spec>(spec: S): (params: JsonObject) => Decoded<S> {
  const entries = Object.entries(spec);
  return (params) => {
    if (hasDuplicateName(params)) throw new ParamsMisfit();
    for (const name of Object.keys(params)) {
      if (!Object.hasOwn(spec, name)) throw new ParamsMisfit();
    }
    const decoded: Record<string, unknown> = {};
    for (const [name, { optional, decode }] of entries) {
      const value = Object.hasOwn(params, name) ? params[name] : undefined;
      if (value === undefined && !optional) throw new ParamsMisfit();
      decoded[name] = decode(value);
    }
    return decoded as Decoded<S>;
  };
}

/** As spdk_json_decode_object_relaxed: unknown parameters are passed over. */
export function decodeRelaxed<S extends Spec>(spec: S): (params: JsonObject) => Decoded<S> {
  const decode = decodeObject(spec);
  return (params) => {
    if (hasDuplicateName(params)) throw new ParamsMisfit();
    const known = Object.entries(params).filter(([name]) => Object.hasOwn(spec, name));
    return decode(Object.fromEntries(known));
  };
}

/** For methods without parameters. */
export const noParams = decodeObject({});
