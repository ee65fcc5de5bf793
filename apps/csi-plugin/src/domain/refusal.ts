import type { StatusName } from './status-of-error.js';

/** An end of a call that this plugin itself has decided on, by what the interface says of it. */
export class Refusal extends Error {
  override readonly name = 'Refusal';

  constructor(
    readonly status: StatusName,
    message: string,
  ) {
    super(message);
  }
}

export function requireText(value: string, field: string): string {
  if (value !== '') return value;
  throw new Refusal('INVALID_ARGUMENT', `${field} is missing: the request must have it.`);
}
