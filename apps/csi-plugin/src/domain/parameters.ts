import { Frontend, FsType } from '@lariat/contracts';
import { MAX_REPLICAS } from '@lariat/contracts';
import { Refusal } from './refusal.js';

type Texts = Readonly<Record<string, string>>;

/** What a storage class fixes for the life of a volume. */
export interface ClassParameters {
  readonly replicas: number | undefined;
  readonly image: string | undefined;
  readonly fsType: FsType | undefined;
  /** Undefined: the best that the node offers. */
  readonly frontend: Frontend | undefined;
  /** What is written is encrypted on the node that writes it. */
  readonly encrypted: boolean;
}

/** What a volume attributes class may change at any time. */
export interface MutableParameters {
  readonly replicas: number | undefined;
  readonly qos: Readonly<Partial<Record<(typeof LIMITS)[number], number | null>>>;
  readonly rebuildMibPerSecond: number | undefined;
}

const LIMITS = ['rwIops', 'rwMbps', 'readMbps', 'writeMbps'] as const;
/** The sidecars' own, which they pass on. */
const FOREIGN_PREFIX = /^csi\.storage\.k8s\.io\//;
const FS_TYPE_KEYS = ['fsType', 'csi.storage.k8s.io/fstype'];

const MUTABLE: ReadonlySet<string> = new Set(['replicas', 'rebuildMibPerSecond', ...LIMITS]);
const FIXED: ReadonlySet<string> = new Set([
  'replicas',
  'image',
  'frontend',
  'fsType',
  'encrypted',
]);

export function classParametersOf(parameters: Texts): ClassParameters {
  assertKnown(parameters, FIXED, 'parameter');
  const fsType = FS_TYPE_KEYS.map((key) => parameters[key]).find((text) => text !== undefined);
  return {
    replicas: count(parameters, 'replicas', 1, MAX_REPLICAS),
    image: parameters['image'],
    fsType: oneOf(fsType, 'fsType', Object.values(FsType)),
    frontend: oneOf(parameters['frontend'], 'frontend', Object.values(Frontend)),
    encrypted: oneOf(parameters['encrypted'], 'encrypted', ['true', 'false']) === 'true',
  };
}

export function mutableParametersOf(parameters: Texts): MutableParameters {
  assertKnown(parameters, MUTABLE, 'mutable parameter');
  const qos = Object.fromEntries(
    LIMITS.flatMap((limit) => {
      const wanted = count(parameters, limit, 0, 1_000_000_000);
      // 0 is how a class says that there is no limit.
      return wanted === undefined ? [] : [[limit, wanted === 0 ? null : wanted]];
    }),
  );
  return {
    replicas: count(parameters, 'replicas', 1, MAX_REPLICAS),
    qos,
    rebuildMibPerSecond: count(parameters, 'rebuildMibPerSecond', 0, 1_048_576),
  };
}

function assertKnown(parameters: Texts, known: ReadonlySet<string>, what: string): void {
  const unknown = Object.keys(parameters).find(
    (key) => !known.has(key) && !FOREIGN_PREFIX.test(key),
  );
  if (unknown === undefined) return;
  throw new Refusal(
    'INVALID_ARGUMENT',
    `There is no ${what} '${unknown}': there are ${Array.from(known).join(', ')}.`,
  );
}

function count(parameters: Texts, name: string, least: number, most: number): number | undefined {
  const text = parameters[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d{1,10}$/.test(text) && value >= least && value <= most) return value;
  throw new Refusal(
    'INVALID_ARGUMENT',
    `${name} '${text}' must be a whole number from ${least} to ${most}.`,
  );
}

function oneOf<Value extends string>(
  text: string | undefined,
  name: string,
  values: readonly Value[],
): Value | undefined {
  if (text === undefined || text === '') return undefined;
  const found = values.find((value) => value === text);
  if (found !== undefined) return found;
  throw new Refusal('INVALID_ARGUMENT', `${name} '${text}' must be one of ${values.join(', ')}.`);
}
