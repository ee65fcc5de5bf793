import { isEnded, lariatError } from '@lariat/contracts';
import type { Json, LariatError } from '@lariat/kernel';
import type { SagaRecord } from './saga-record.js';

type Asked = { readonly kind: string; readonly input: Json };

/**
 * The operation, when the request asks for the same again. Otherwise OPERATION_IN_PROGRESS while it runs; for one that
 * has ended, whose request id was used again for another thing, REQUEST_INVALID.
 */
export function joinOrRefuse(record: SagaRecord, request: Asked): SagaRecord {
  if (isFor(record, request)) return record;
  const details = { operation: record.id, kind: record.kind, step: record.stepName };
  if (isEnded(record.state)) {
    throw lariatError(
      'REQUEST_INVALID',
      `The request id was used for another request before (operation ${record.id}, ${record.kind}): use a new one for each request.`,
      details,
    );
  }
  throw lariatError(
    'OPERATION_IN_PROGRESS',
    `Operation ${record.id} (${record.kind}) works on ${record.subject}: wait for it ('lariat operation wait ${record.id}') and try again.`,
    details,
  );
}

/** False of an operation that did something else on the subject, and has ended since it was met there. */
export const standsInTheWay = (record: SagaRecord, request: Asked): boolean =>
  !isEnded(record.state) || isFor(record, request);

const isFor = (record: SagaRecord, { kind, input }: Asked): boolean =>
  record.kind === kind && isSame(record.input, input);

/** Equal as JSON: the order of an object's members says nothing. */
function isSame(one: Json, other: Json): boolean {
  return canonical(one) === canonical(other);
}

function canonical(value: Json): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

export function operationNotFound(id: string): LariatError {
  return lariatError(
    'OPERATION_NOT_FOUND',
    `There is no operation '${id}'. Ended ones are kept for a day.`,
    { operation: id },
  );
}
