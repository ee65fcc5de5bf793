import type { RequestName } from './requests.js';

/** What a request asked for, as far as it may be kept: no sizes of secrets, no sources, no labels, no content. */
const KEPT_FIELDS = [
  ...['name', 'volume', 'snapshot', 'replica', 'node', 'disk', 'path', 'image', 'orphan'],
  ...['operation', 'frontend', 'sizeBytes', 'replicas', 'force', 'dryRun', 'acceptDataLoss'],
] as const;

/** Verbs that change nothing; `internal.*` is what services ask each other on behalf of a request that is audited. */
const READING = new Set(['get', 'list', 'wait', 'checksum']);

export type AuditedThings = Readonly<Record<string, string | number | boolean>>;

/** Who asked for what, and with what result. */
export interface AuditEntry {
  readonly id: string;
  readonly at: string;
  /** `Lariat-Actor` as it came with the request; services act under their own names. */
  readonly actor: string;
  readonly request: string;
  readonly things: AuditedThings;
  readonly requestId: string | null;
  readonly traceId: string;
  /** The service that answered it. */
  readonly service: string;
  /** `unanswered`: its service died before it had an answer, or has none yet. */
  readonly result: 'ok' | 'refused' | 'failed' | 'unanswered';
  /** Null when it is ok or unanswered. */
  readonly code: string | null;
  readonly message: string | null;
  readonly durationMs: number | null;
}

export type AuditAsked = Pick<
  AuditEntry,
  'id' | 'at' | 'actor' | 'request' | 'things' | 'requestId' | 'traceId' | 'service'
>;
export type AuditAnswered = Pick<AuditEntry, 'id' | 'result' | 'code' | 'message' | 'durationMs'>;

/** Two messages a request: that it came is on record before anything is done about it. */
export type AuditRecord =
  | ({ readonly phase: 'asked' } & AuditAsked)
  | ({ readonly phase: 'answered' } & AuditAnswered);

export const isAudited = (name: string, table: Readonly<Record<RequestName, unknown>>): boolean =>
  name in table &&
  !name.startsWith('internal.') &&
  !READING.has(name.slice(name.lastIndexOf('.') + 1));

export function auditedThings(body: unknown): AuditedThings {
  if (typeof body !== 'object' || body === null) return {};
  const fields = body as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    KEPT_FIELDS.flatMap((key) => {
      const value = fields[key];
      const isPlain =
        typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
      return isPlain ? [[key, value]] : [];
    }),
  );
}

export interface AuditFilter {
  readonly actor?: string;
  readonly request?: string;
  /** Name or id of anything that the request named. */
  readonly thing?: string;
  readonly result?: AuditEntry['result'];
}

/** Requests from their records, oldest first, of those that the filter lets through the newest `limit`. */
export function auditEntries(
  records: Iterable<AuditRecord>,
  filter: AuditFilter,
  limit: number,
): readonly AuditEntry[] {
  const entries = new Map<string, AuditEntry>();
  for (const record of records) {
    if (record.phase === 'asked') {
      const { phase: _asked, ...asked } = record;
      const open = { result: 'unanswered', code: null, message: null, durationMs: null } as const;
      entries.set(asked.id, { ...asked, ...open });
      continue;
    }
    const { phase: _answered, ...answered } = record;
    const entry = entries.get(answered.id);
    // What was asked may be too old to be kept.
    if (entry !== undefined) entries.set(answered.id, { ...entry, ...answered });
  }
  return [...entries.values()].filter((entry) => matches(entry, filter)).slice(-limit);
}

function matches(entry: AuditEntry, { actor, request, thing, result }: AuditFilter): boolean {
  return (
    (actor === undefined || entry.actor === actor) &&
    (request === undefined || entry.request === request) &&
    (result === undefined || entry.result === result) &&
    (thing === undefined || Object.values(entry.things).includes(thing))
  );
}
