import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { JsonObject } from '../rpc/method.js';
import { parseArguments, UsageError } from './arguments.js';
import { AnswerLost } from '../rpc/rpc-error.js';
import { ArmedFaults } from './fault-arming.js';
import { logMethods } from './log-methods.js';
import { createLog } from './log.js';
import { NotificationLog } from './notifications.js';
import { lockStateDir, StateDirInUse } from './state-dir-lock.js';

test('notifications are read by id, and the oldest are forgotten', () => {
  const log = new NotificationLog();
  for (let i = 0; i < 1030; i += 1) log.add('bdev_register', `b${i}`);
  expect(log.read(0, 1)).toEqual([{ type: 'bdev_register', ctx: 'b6', id: 6 }]);
  expect(log.read(0, 9999)).toHaveLength(1024);
  expect(log.read(1028, 9999).map((each) => each.id)).toEqual([1028, 1029]);
  expect(log.read(1030, 5)).toEqual([]);
  expect(log.read(5000, 5)).toEqual([]);
  log.add('bdev_unregister', 'b1');
  expect(log.read(1030, 5)).toEqual([{ type: 'bdev_unregister', ctx: 'b1', id: 1030 }]);
});

test('the log holds back what is below its level, and RPCs change it', () => {
  const lines: string[] = [];
  const log = createLog((line) => lines.push(line));
  const methods = logMethods(log);
  log.info('unheard');
  methods['log_set_level']?.run(methods['log_set_level'].decode({ level: 'INFO' }));
  log.info('heard', { bdev: 'b' });
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { level: 'INFO', message: 'heard', bdev: 'b' },
  ]);
  expect(methods['log_get_level']?.run({})).toBe('INFO');
  expect(() => methods['log_set_level']?.decode({ level: 'DISABLED' })).toThrow('Invalid');
  log.level = 'DISABLED';
  expect(() => methods['log_get_level']?.run({})).toThrow('invalid log level');
});

test('the log leaves times out when told to, and has no flags', () => {
  const lines: string[] = [];
  const log = createLog((line) => lines.push(line));
  const methods = logMethods(log);
  const call = (name: string, params: JsonObject): unknown =>
    methods[name]?.run(methods[name].decode(params));
  call('log_enable_timestamps', { enabled: false });
  log.error('first');
  call('log_enable_timestamps', { enabled: true });
  log.error('second');
  expect(lines[0]).toBe('{"level":"ERROR","message":"first"}\n');
  expect(JSON.parse(lines[1] ?? '')).toMatchObject({ time: expect.any(String) });
  expect(call('log_get_flags', {})).toEqual({});
  expect(call('log_set_flag', { flag: 'all' })).toBe(true);
  expect(() => call('log_clear_flag', { flag: 'bdev' })).toThrow('invalid log flag');
});

test.each([
  [[], '--rpc-socket is missing'],
  [['--rpc-socket', '/s'], '--state-dir is missing'],
  [
    ['--rpc-socket', '/s', '--state-dir', '/d', '--log-level', 'LOUD'],
    '--log-level LOUD is none of',
  ],
  [['--rpc-socket', '/s', '--state-dir', '/d', '--wait-for-rpc', 'yes'], 'takes "no" only'],
  [['--rpc-socket', '/s', '--state-dir', '/d', '--colour'], "Unknown option '--colour'"],
  [['--rpc-socket', '/s', '--state-dir', '/d', 'more'], 'more'],
])('arguments %j are refused', (argv, message) => {
  expect(() => parseArguments(argv)).toThrow(UsageError);
  expect(() => parseArguments(argv)).toThrow(message);
});

test('arguments are made absolute and have defaults', () => {
  expect(
    parseArguments(['--rpc-socket', '/s', '--state-dir', 'd', '--log-level', 'debug']),
  ).toEqual({
    rpcSocket: '/s',
    stateDir: join(process.cwd(), 'd'),
    logLevel: 'DEBUG',
    personality: 'own',
  });
});

test('a fault acts once, after the passes that it lets go by', () => {
  let kills = 0;
  const faults = new ArmedFaults(() => (kills += 1));
  faults.arm('rpc/a/before', 'error', 1);
  faults.reach('rpc/a/before');
  faults.reach('rpc/b/before');
  expect(() => faults.reach('rpc/a/before')).toThrow('fault injected at rpc/a/before');
  faults.reach('rpc/a/before');
  expect(kills).toBe(0);
  faults.arm('rpc/a/after', 'kill', 0);
  expect(() => faults.reach('rpc/a/after')).toThrow('fault injected');
  expect(kills).toBe(1);
  faults.arm('rpc/a/after', 'hangup', 0);
  expect(() => faults.reach('rpc/a/after')).toThrow(AnswerLost);
});

test('a state folder has one target at a time', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lariat-state-'));
  const stateDir = join(folder, 'made', 'when missing');
  const lock = await lockStateDir(stateDir);
  await expect(lockStateDir(`${stateDir}/`)).rejects.toThrow(StateDirInUse);
  await lock.release();
  await (await lockStateDir(stateDir)).release();
  await rm(folder, { recursive: true });
});
