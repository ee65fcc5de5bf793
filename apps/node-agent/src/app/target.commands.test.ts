import { beforeEach, expect, test } from 'vitest';
import { newContext, silentLog } from '../testing/fixture.js';
import { FakeTarget } from '../testing/fake-target.js';
import { targetCommands } from './target.commands.js';

let target: FakeTarget;
let restarts: number;
const life = {
  isOurs: true,
  binary: 'fake 2' as string | Error,
  versionOfBinary: () =>
    life.binary instanceof Error ? Promise.reject(life.binary) : Promise.resolve(life.binary),
};
const restart = (context = newContext()) =>
  targetCommands({
    ...{ target, life, log: silentLog },
    keeper: {
      restart: () => {
        restarts += 1;
        target.instance = `life-${restarts + 1}`;
        return Promise.resolve();
      },
      whenReady: () => Promise.resolve(),
    },
  })['target.restart']({}, context);

beforeEach(() => {
  target = new FakeTarget();
  restarts = 0;
  life.isOurs = true;
  life.binary = 'fake 2';
});

test('a target is ended once, however often the command is delivered', async () => {
  const context = newContext();
  expect(await restart(context)).toEqual({ from: 'fake 1', to: 'fake 1' });
  expect(await restart(context)).toEqual({ from: 'fake 1', to: 'fake 1' });
  expect(restarts).toBe(1);
});

test('one that was cut off after it was noted is carried out', async () => {
  const context = newContext();
  await context.note({ instance: target.instance, version: 'fake 0' });
  expect(await restart(context)).toEqual({ from: 'fake 0', to: 'fake 1' });
  expect(restarts).toBe(1);
});

test('a target of others, and one whose binary does not run, are left alone', async () => {
  life.binary = new Error('ended with 3');
  await expect(restart()).rejects.toMatchObject({
    code: 'TARGET_BINARY_BROKEN',
    message: expect.stringContaining('ended with 3'),
  });
  life.isOurs = false;
  await expect(restart()).rejects.toMatchObject({ code: 'TARGET_NOT_OURS' });
  expect(restarts).toBe(0);
});
