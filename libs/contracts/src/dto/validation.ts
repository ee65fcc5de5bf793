import 'reflect-metadata';
import { plainToInstance } from 'class-transformer';
import { validateSync, type ValidationError } from 'class-validator';
import { type ErrorCode, lariatError } from '../error-codes.js';

export type DtoClass<T extends object> = new () => T;

/**
 * A field's decorator may carry `context: { code }`: the error code that a caller gets when that field is
 * the first one found wrong. Without it the code is REQUEST_INVALID.
 */
interface ConstraintContext {
  readonly code?: ErrorCode;
}

function firstFailure(
  errors: readonly ValidationError[],
  path: string,
): { code: ErrorCode; message: string; field: string } {
  for (const error of errors) {
    const field = path === '' ? error.property : `${path}.${error.property}`;
    if (error.constraints !== undefined) {
      const [rule, message] = Object.entries(error.constraints)[0] ?? ['', 'is not valid'];
      const context = error.contexts?.[rule] as ConstraintContext | undefined;
      return { code: context?.code ?? 'REQUEST_INVALID', message, field };
    }
    if (error.children !== undefined && error.children.length > 0)
      return firstFailure(error.children, field);
  }
  return { code: 'REQUEST_INVALID', message: 'is not valid', field: path };
}

/** A body as an instance of its DTO class; throws a LariatError of kind `invalid` that names the field. */
export function parseDto<T extends object>(type: DtoClass<T>, body: unknown): T {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw lariatError('REQUEST_MALFORMED', 'The body must be a JSON object.');
  }
  const instance = plainToInstance(type, body);
  const errors = validateSync(instance, {
    whitelist: true,
    forbidNonWhitelisted: true,
    forbidUnknownValues: false,
  });
  if (errors.length > 0) {
    const { code, message, field } = firstFailure(errors, '');
    throw lariatError(code, message, { field });
  }
  return instance;
}
