import { ERROR_KIND_BY_CODE, type ErrorCode, lariatError } from '@lariat/contracts';
import { LariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { NON_FINAL, statusOfError } from './status-of-error.js';

describe('the end of a call', () => {
  it('is one after which it is asked again, for all that may still happen or passes by itself', () => {
    const codes = Object.keys(ERROR_KIND_BY_CODE) as ErrorCode[];
    const pending = codes.filter((code) =>
      ['unavailable', 'timeout', 'conflict'].includes(ERROR_KIND_BY_CODE[code]),
    );
    const taken = ['VOLUME_NAME_TAKEN', 'SNAPSHOT_NAME_TAKEN'];
    expect(pending.length).toBeGreaterThan(10);
    for (const code of pending.filter((one) => !taken.includes(one)))
      expect([code, NON_FINAL.has(statusOfError(lariatError(code, 'why')))]).toEqual([code, true]);
  });

  it.each<[ErrorCode, string]>([
    ['VOLUME_NAME_TAKEN', 'ALREADY_EXISTS'],
    ['VOLUME_NOT_FOUND', 'NOT_FOUND'],
    ['NODE_NOT_FOUND', 'NOT_FOUND'],
    ['VOLUME_SHRINK', 'OUT_OF_RANGE'],
    ['NO_CAPACITY', 'RESOURCE_EXHAUSTED'],
    ['VOLUME_ATTACHED_ELSEWHERE', 'FAILED_PRECONDITION'],
    ['SNAPSHOT_IN_USE', 'FAILED_PRECONDITION'],
    ['OPERATION_IN_PROGRESS', 'ABORTED'],
    ['EPOCH_STALE', 'ABORTED'],
    ['DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED'],
    ['SERVICE_UNAVAILABLE', 'UNAVAILABLE'],
    ['REPLICAS_INVALID', 'INVALID_ARGUMENT'],
    ['TARGET_REFUSED', 'INTERNAL'],
  ])('%s is %s', (code, status) => {
    expect(statusOfError(lariatError(code, 'why'))).toBe(status);
  });

  it('follows from the kind where the code is that of a plugin of a user', () => {
    const error = new LariatError({ code: 'THEIR_OWN', kind: 'timeout', message: 'why' });
    expect(statusOfError(error)).toBe('DEADLINE_EXCEEDED');
  });
});
