import 'reflect-metadata';
import { lariatError, type CommandEnvelope } from '@lariat/contracts';
import { KeyedQueue, noFaultPoints, systemClock, type FaultPoints } from '@lariat/kernel';
import { SpdkError } from '@lariat/spdk';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LmdbJournal } from '../adapters/lmdb/lmdb-journal.js';
import { envelopeOf, tempDir } from '../testing/fixture.js';
import { CommandExecutor } from './command-executor.js';
import type { CommandHandlers } from './command-handlers.js';

let dir: ReturnType<typeof tempDir>;
let journal: LmdbJournal;
let runs: string[];

beforeEach(() => {
  dir = tempDir();
  journal = new LmdbJournal(dir.path);
  runs = [];
});
afterEach(async () => {
  await journal.close();
  dir.remove();
});

function executor(
  handlers: Partial<CommandHandlers>,
  faults: FaultPoints = noFaultPoints,
): CommandExecutor {
  return new CommandExecutor({
    journal,
    queue: new KeyedQueue(),
    clock: systemClock,
    faults,
    handlers: handlers as CommandHandlers,
    whenReady: () => Promise.resolve(),
    report: () => () => undefined,
  });
}

const create = (over: Partial<CommandEnvelope<'replica.create'>> = {}) =>
  envelopeOf(
    'replica.create',
    { replica: 'rep-1', volume: 'vol-1', disk: 'disk-1', sizeBytes: 1 },
    over,
  );

const counting: Partial<CommandHandlers> = {
  'replica.create': () => {
    runs.push('create');
    return Promise.resolve({ lvolUuid: `uuid-${runs.length}` });
  },
};

test('a redelivery gets the first answer and runs nothing', async () => {
  const agent = executor(counting);
  const first = await agent.execute(create());
  expect(await agent.execute(create())).toEqual(first);
  expect(await executor(counting).execute(create())).toEqual(first);
  expect(runs).toEqual(['create']);
});

test('the same command delivered twice at once runs once', async () => {
  const agent = executor(counting);
  const [one, two] = await Promise.all([agent.execute(create()), agent.execute(create())]);
  expect(one).toEqual(two);
  expect(runs).toHaveLength(1);
});

test.each(['intent-journaled', 'effect-done', 'result-journaled'])(
  'a crash at %s ends in one answer after the redelivery',
  async (point) => {
    const crash: FaultPoints = {
      reach: (name) => {
        if (name === `agent/replica.create/${point}`) throw new Error('crash');
      },
    };
    await expect(executor(counting, crash).execute(create())).rejects.toThrow('crash');
    const answer = await executor(counting).execute(create());
    expect(await executor(counting).execute(create())).toEqual(answer);
    const expected = { 'intent-journaled': 1, 'effect-done': 2, 'result-journaled': 1 }[point];
    expect(runs).toHaveLength(expected ?? 0);
  },
);

test.each([
  { code: 'TARGET_UNAVAILABLE', final: false },
  { code: 'DEADLINE_EXCEEDED', final: false },
  { code: 'DISK_FULL', final: true },
  { code: 'NOT_OWNED', final: true },
] as const)('an error $code is recorded: $final', async ({ code, final }) => {
  let attempt = 0;
  const handlers: Partial<CommandHandlers> = {
    'replica.create': () => {
      attempt += 1;
      return attempt === 1
        ? Promise.reject(lariatError(code, 'the first time'))
        : Promise.resolve({ lvolUuid: 'uuid' });
    },
  };
  await expect(executor(handlers).execute(create())).rejects.toMatchObject({ code });
  const second = await executor(handlers)
    .execute(create())
    .catch((reason: unknown) => reason);
  expect(second).toMatchObject(final ? { code, message: 'the first time' } : { lvolUuid: 'uuid' });
});

test.each([
  [-28, 'DISK_FULL'],
  [-16, 'TARGET_UNAVAILABLE'],
  [-22, 'TARGET_REFUSED'],
] as const)('the SPDK error %i reads as %s', async (rpcCode, code) => {
  const handlers: Partial<CommandHandlers> = {
    'replica.create': () => Promise.reject(new SpdkError('bdev_lvol_create', rpcCode, 'no')),
  };
  await expect(executor(handlers).execute(create())).rejects.toMatchObject({ code });
});

test('a long copy does not hold up the engine, and two commands on one replica do not meet', async () => {
  const order: string[] = [];
  let endCopy = (): void => undefined;
  const handlers: Partial<CommandHandlers> = {
    'rebuild.copy-snapshot': async () => {
      await new Promise<void>((resolve) => (endCopy = resolve));
      order.push('copied');
      return { copiedClusters: 1 };
    },
    'engine.stop': () => {
      order.push('stopped');
      return Promise.resolve({ inStep: null });
    },
    'snapshot.create': async ({ snapshot }) => {
      order.push(`${snapshot} begins`);
      await Promise.resolve();
      order.push(`${snapshot} ends`);
      return { lvolUuid: snapshot };
    },
  };
  const agent = executor(handlers);
  const scratch = { nqn: 'nqn', traddr: '', trsvcid: '', uuid: '' };
  const copy = agent.execute(
    envelopeOf('rebuild.copy-snapshot', {
      replica: 'rep-1',
      volume: 'vol-1',
      snapshot: 's1',
      parent: null,
      scratch,
    }),
  );
  await agent.execute(envelopeOf('engine.stop', { volume: 'vol-1', epoch: 1 }));
  const snap = (snapshot: string) =>
    agent.execute(
      envelopeOf(
        'snapshot.create',
        { replica: 'rep-1', volume: 'vol-1', snapshot },
        { id: snapshot },
      ),
    );
  await Promise.all([snap('s2'), snap('s3')]);
  endCopy();
  await copy;
  expect(order).toEqual(['stopped', 's2 begins', 's2 ends', 's3 begins', 's3 ends', 'copied']);
});

test('what is not journaled runs each time, and where its time matters not after it', async () => {
  const agent = executor(counting);
  await agent.executeUnjournaled(create());
  await agent.executeUnjournaledInTime(create());
  const late = create({ deadlineAtMs: Date.now() - 1 });
  await agent.executeUnjournaled(late);
  expect(runs).toHaveLength(3);
  await expect(agent.executeUnjournaledInTime(late)).rejects.toMatchObject({
    code: 'COMMAND_EXPIRED',
  });
  expect(runs).toHaveLength(3);
});
