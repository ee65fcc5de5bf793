import type { ListVolumesRequest, RequestMap, RequestName } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { readList } from './read-list.js';

const ALL = Array.from({ length: 1_234 }, (_, index) => ({ name: `v${index}` }));

/** Answers pages of at most 200, whatever is asked for. */
function service() {
  const asked: ListVolumesRequest[] = [];
  const request = <Name extends RequestName>(_name: Name, body: RequestMap[Name]['request']) => {
    const query = body as ListVolumesRequest;
    asked.push(query);
    const begin = Number(query.cursor ?? 0);
    const end = begin + Math.min(200, query.limit ?? 200);
    const volumes = ALL.slice(begin, end);
    const next = end < ALL.length ? { next: String(end) } : {};
    const reply: unknown = { volumes, total: ALL.length, ...next };
    return Promise.resolve(reply as RequestMap[Name]['reply']);
  };
  return { asked, request };
}

describe('reading a list', () => {
  it('asks for page after page until there are no more', async () => {
    const session = service();
    const { items, ...facts } = await readList(session, 'volume.list', { state: 'attached' });
    expect(items).toEqual(ALL);
    expect(facts).toEqual({});
    expect(session.asked).toHaveLength(7);
    expect(session.asked.every(({ state }) => state === 'attached')).toBe(true);
  });

  it('gives the one page that is asked for, and where the next begins', async () => {
    const session = service();
    const page = await readList(session, 'volume.list', { limit: 10, cursor: '20' });
    expect(page).toEqual({ items: ALL.slice(20, 30), total: ALL.length, next: '30' });
    expect(session.asked).toEqual([{ limit: 10, cursor: '20' }]);
  });
});
