import { LariatError } from '@lariat/kernel';

/** Reads a value that SPDK answered, or throws an error that names where it stands. */
export type Parse<T> = (value: unknown, path: string) => T;

/** SPDK answered something else than it should: `bdev_get_bdevs[3].num_blocks: expected …, got "x"`. */
export function badResult(path: string, expected: string, value: unknown): LariatError {
  return new LariatError({
    kind: 'internal',
    code: 'SPDK_BAD_RESULT',
    message: `${path}: expected ${expected}, got ${excerpt(value)}`,
    details: { path },
  });
}

const EXCERPT_CHARACTERS = 80;

function excerpt(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > EXCERPT_CHARACTERS ? `${text.slice(0, EXCERPT_CHARACTERS)}…` : text;
}

export const text: Parse<string> = (value, path) => {
  if (typeof value !== 'string') throw badResult(path, 'a string', value);
  return value;
};

export const flag: Parse<boolean> = (value, path) => {
  if (typeof value !== 'boolean') throw badResult(path, 'true or false', value);
  return value;
};

/** Counts, sizes and ids; beyond 2^53-1 JSON.parse has already lost digits. */
export const count: Parse<number> = (value, path) => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw badResult(path, 'a non-negative integer', value);
  }
  return value;
};

export function nullable<T>(parse: Parse<T>): Parse<T | null> {
  return (value, path) => (value === null ? null : parse(value, path));
}

export function oneOf<const T extends string>(values: readonly T[]): Parse<T> {
  return (value, path) => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw badResult(path, `one of ${values.join(', ')}`, value);
    return found;
  };
}

export function list<T>(parse: Parse<T>): Parse<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw badResult(path, 'an array', value);
    return value.map((item, index) => parse(item, `${path}[${index}]`));
  };
}

/** The fields of one JSON object; those that are not asked for are ignored. */
export interface Fields {
  required<T>(name: string, parse: Parse<T>): T;
  /** Undefined when the field is missing. */
  optional<T>(name: string, parse: Parse<T>): T | undefined;
}

export function record<T>(read: (fields: Fields) => T): Parse<T> {
  return (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw badResult(path, 'an object', value);
    }
    const object = new Map<string, unknown>(Object.entries(value));
    return read({
      required: (name, parse) => parse(object.get(name), `${path}.${name}`),
      optional: (name, parse) =>
        object.has(name) ? parse(object.get(name), `${path}.${name}`) : undefined,
    });
  };
}

/** `{name: value}` for a known value, `{}` otherwise: for exact optional properties. */
export function ifDefined<K extends string, T>(
  name: K,
  value: T | undefined,
): { readonly [P in K]?: T } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [P in K]?: T };
}
