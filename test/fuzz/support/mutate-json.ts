import type { Random } from './random.js';

export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: Json;
}

const STRANGE_TEXTS: readonly string[] = [
  '',
  ' ',
  '.',
  '/',
  '\u0000',
  'a\u0000b',
  '\ud800',
  '__proto__',
  'constructor',
  'x'.repeat(64),
  'x'.repeat(70_000),
  'é'.repeat(63),
  '%s%n',
  '-1',
  '1e309',
  '00000000-0000-0000-0000-000000000000',
  'nqn.2014-08.org.nvmexpress.discovery',
];

const STRANGE_NUMBERS: readonly number[] = [
  -1,
  0,
  1,
  1.5,
  -0,
  255,
  256,
  65_535,
  65_536,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_ffff,
  0x1_0000_0000,
  Number.MAX_SAFE_INTEGER,
  Number.MAX_SAFE_INTEGER + 1,
  1e300,
  Number.MIN_VALUE,
];

function strangeValue(random: Random): Json {
  switch (random.below(8)) {
    case 0:
    case 1:
      return random.pick(STRANGE_TEXTS);
    case 2:
    case 3:
      return random.pick(STRANGE_NUMBERS);
    case 4:
      return random.chance(0.5);
    case 5:
      return null;
    case 6:
      return nested(random.pick([1, 2, 64, 65, 1000]), random);
    default:
      return random.chance(0.5) ? [] : {};
  }
}

function nested(depth: number, random: Random): Json {
  let value: Json = 1;
  for (let level = 0; level < depth; level += 1) {
    value = random.chance(0.5) ? [value] : { a: value };
  }
  return value;
}

/** Another value in place of a parameter, a parameter too few, one too many, or a change further down. */
export function mutateJson(value: Json, random: Random): Json {
  if (random.chance(0.2)) return strangeValue(random);
  if (typeof value === 'string') return mutateText(value, random);
  if (typeof value === 'number') return random.pick([...STRANGE_NUMBERS, value + 1, -value]);
  if (typeof value !== 'object' || value === null) return strangeValue(random);
  if (Array.isArray(value)) return mutateArray(value, random);
  return mutateObject(value as JsonObject, random);
}

function mutateText(text: string, random: Random): Json {
  const at = random.below(text.length + 1);
  return random.pick([
    text.slice(0, at),
    text.slice(at),
    `${text}${text}`,
    text.toUpperCase(),
    `${text.slice(0, at)}\u0001${text.slice(at)}`,
    random.pick(STRANGE_TEXTS),
  ]);
}

function mutateArray(items: readonly Json[], random: Random): Json {
  const at = random.below(Math.max(1, items.length));
  switch (random.below(4)) {
    case 0:
      return [...items, ...items];
    case 1:
      return items.toSpliced(at, 1);
    case 2:
      return Array.from({ length: random.pick([10, 1000]) }, () => items[at] ?? 1);
    default:
      return items.map((item, index) => (index === at ? mutateJson(item, random) : item));
  }
}

function mutateObject(object: JsonObject, random: Random): Json {
  const names = Object.keys(object);
  if (names.length === 0 || random.chance(0.1)) {
    return { ...object, [random.pick(STRANGE_TEXTS)]: strangeValue(random) };
  }
  const name = random.pick(names);
  const { [name]: chosen = null, ...rest } = object;
  return random.chance(0.15) ? rest : { ...object, [name]: mutateJson(chosen, random) };
}
