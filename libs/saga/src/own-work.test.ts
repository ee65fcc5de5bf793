import { lariatError } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { startAfterOwnWork } from './own-work.js';
import type { SagaRecord } from './saga-record.js';

const BEGUN = { id: 'op-new' } as SagaRecord;
const refusal = (operation: string) =>
  lariatError('OPERATION_IN_PROGRESS', 'as the test says', { operation });

/** Operations of these actors, which end when they are waited for, but for those of `endless`. */
function operationsOf(actors: Readonly<Record<string, string>>, endless: readonly string[] = []) {
  const waited: string[] = [];
  const running = new Set(Object.keys(actors));
  const runner = {
    find: (id: string) => {
      const actor = actors[id];
      return Promise.resolve(actor === undefined ? undefined : ({ id, actor } as SagaRecord));
    },
    wait: (id: string) => {
      waited.push(id);
      if (endless.includes(id)) {
        return Promise.reject(lariatError('DEADLINE_EXCEEDED', 'as the test says'));
      }
      running.delete(id);
      return Promise.resolve({ id } as SagaRecord);
    },
  };
  const start = () => {
    const [holder] = running;
    return holder === undefined ? Promise.resolve(BEGUN) : Promise.reject(refusal(holder));
  };
  return { runner, start, waited };
}

describe('a request for an object that another operation works on', () => {
  it('waits for what the cluster began by itself, one after the other', async () => {
    const { runner, start, waited } = operationsOf({ 'op-1': 'volume-svc', 'op-2': 'replica-svc' });
    expect(await startAfterOwnWork(runner, 'anna', start)).toBe(BEGUN);
    expect(waited).toEqual(['op-1', 'op-2']);
  });

  it("is refused at once for another user's", async () => {
    const { runner, start, waited } = operationsOf({ 'op-1': 'bert' });
    await expect(startAfterOwnWork(runner, 'anna', start)).rejects.toMatchObject({
      code: 'OPERATION_IN_PROGRESS',
      details: { operation: 'op-1' },
    });
    expect(waited).toEqual([]);
  });

  it('is refused for work of the cluster that goes on, by the name of that', async () => {
    const { runner, start, waited } = operationsOf({ 'op-1': 'replica-svc' }, ['op-1']);
    await expect(startAfterOwnWork(runner, 'anna', start)).rejects.toMatchObject({
      code: 'OPERATION_IN_PROGRESS',
      details: { operation: 'op-1' },
    });
    expect(waited).toEqual(['op-1']);
  });

  it("is refused at once when it is the cluster's own", async () => {
    const { runner, start, waited } = operationsOf({ 'op-1': 'volume-svc' });
    await expect(startAfterOwnWork(runner, 'replica-svc', start)).rejects.toMatchObject({
      code: 'OPERATION_IN_PROGRESS',
    });
    expect(waited).toEqual([]);
  });

  it.each([refusal('op-gone'), lariatError('VOLUME_FAULTED', 'as the test says')])(
    'fails as it would alone when there is nothing to wait for',
    async (error) => {
      const { runner } = operationsOf({});
      const start = () => Promise.reject(error);
      await expect(startAfterOwnWork(runner, 'anna', start)).rejects.toBe(error);
    },
  );
});
