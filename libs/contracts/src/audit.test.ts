import { describe, expect, it } from 'vitest';
import { type AuditRecord, auditEntries, auditedThings, isAudited } from './audit.js';
import { REQUEST_DTOS } from './requests.js';

const asked = (id: string, actor: string, volume: string): AuditRecord => ({
  ...{ phase: 'asked', id, actor, request: 'volume.delete', things: { volume } },
  ...{ at: '2026-01-01T00:00:00.000Z', requestId: null, traceId: 't', service: 'volume-svc' },
});
const answered = (id: string): AuditRecord => ({
  ...{ phase: 'answered', id, result: 'refused', code: 'VOLUME_ATTACHED', message: 'It is.' },
  durationMs: 3,
});

describe('the audit trail', () => {
  it.each(['volume.create', 'node.drain', 'operation.cancel', 'cluster.recover', 'image.verify'])(
    'has %s',
    (name) => expect(isAudited(name, REQUEST_DTOS)).toBe(true),
  );

  it.each(['volume.get', 'operation.wait', 'replica.checksum', 'internal.volume.change', 'my.own'])(
    'does not have %s',
    (name) => expect(isAudited(name, REQUEST_DTOS)).toBe(false),
  );

  it('keeps what was named, and neither sources nor labels nor what is no plain value', () => {
    const source = { url: 'https://store/i?X-Amz-Signature=abc' };
    const body = { name: 'i', source, labels: { secret: 'x' }, node: { $ne: 1 }, dryRun: true };
    expect(auditedThings(body)).toEqual({ name: 'i', dryRun: true });
    expect(auditedThings('text')).toEqual({});
  });

  it('puts an answer to its request, and tells of one that has none', () => {
    const records = [asked('1', 'ann', 'v1'), asked('2', 'bob', 'v2'), answered('1')];
    const [first, second] = auditEntries(records, {}, 10);
    expect(first).toMatchObject({ actor: 'ann', result: 'refused', code: 'VOLUME_ATTACHED' });
    expect(second).toMatchObject({ actor: 'bob', result: 'unanswered', durationMs: null });
    expect(auditEntries([answered('3')], {}, 10)).toEqual([]);
  });

  it.each([
    [{ actor: 'ann' }, ['1', '3']],
    [{ thing: 'v2' }, ['2']],
    [{ result: 'refused' as const }, ['1']],
    [{ request: 'volume.create' }, []],
    [{}, ['2', '3']],
  ])('finds by %j', (filter, ids) => {
    const all = [
      asked('1', 'ann', 'v1'),
      answered('1'),
      asked('2', 'bob', 'v2'),
      asked('3', 'ann', 'v3'),
    ];
    const limit = Object.keys(filter).length === 0 ? 2 : 10;
    expect(auditEntries(all, filter, limit).map(({ id }) => id)).toEqual(ids);
  });
});
