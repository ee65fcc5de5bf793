import { describe, expect, it } from 'vitest';
import { joinOrRefuse } from './join-or-refuse.js';
import type { SagaRecord } from './saga-record.js';

const record = (state: SagaRecord['state']): SagaRecord => ({
  id: 'op-1',
  kind: 'volume.create',
  subject: 'name/a',
  input: { name: 'a', options: { b: 1, c: [1, 2] } },
  memory: {},
  state,
  stepIndex: 0,
  stepName: 'place',
  attempt: 1,
  failures: 0,
  stepSinceMs: 0,
  nextTryAtMs: null,
  waitingFor: null,
  progress: null,
  lastError: null,
  error: null,
  result: null,
  holder: 'i',
  fence: 1,
  traceId: '',
  spanId: '',
  traceparent: null,
  actor: 'test',
  startedAtMs: 0,
  endedAtMs: null,
});

describe('a request that meets an operation', () => {
  it('joins it when it asks for the same, whatever the order of its members', () => {
    const running = record('running');
    const input = { options: { c: [1, 2], b: 1 }, name: 'a' };
    expect(joinOrRefuse(running, { kind: 'volume.create', input })).toBe(running);
  });

  it.each([
    ['another kind', 'volume.delete', { name: 'a', options: { b: 1, c: [1, 2] } }],
    ['another value', 'volume.create', { name: 'a', options: { b: 2, c: [1, 2] } }],
    ['another order of a list', 'volume.create', { name: 'a', options: { b: 1, c: [2, 1] } }],
    ['a member less', 'volume.create', { name: 'a' }],
  ])('is refused with the name of the running one: %s', (_what, kind, input) => {
    expect(() => joinOrRefuse(record('running'), { kind, input })).toThrow(
      expect.objectContaining({ code: 'OPERATION_IN_PROGRESS' }),
    );
  });

  it('is invalid when its request id belongs to an ended operation that did something else', () => {
    const request = { kind: 'volume.create', input: { name: 'a' } };
    expect(() => joinOrRefuse(record('succeeded'), request)).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID' }),
    );
  });
});
