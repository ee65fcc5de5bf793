import { expect, test } from 'vitest';
import { readConfig, UsageError } from './config.js';

const BASE = ['--node', 'n1', '--nats', 'nats://127.0.0.1:4222', '--data', '/tmp/x'];
const GIB = 1024 ** 3;

test('arguments win over the environment', () => {
  const env = {
    LARIAT_NODE: 'other',
    LARIAT_ZONE: 'z1',
    LARIAT_DISKS: 'd9=1GiB',
    LARIAT_LABELS: 'a=b,c=d',
  };
  const config = readConfig([...BASE, '--disk', 'd1=2GiB', '--disk', 'd2=64M'], env);
  expect(config).toMatchObject({
    node: 'n1',
    zone: 'z1',
    labels: { a: 'b', c: 'd' },
    traddr: '127.0.0.1',
    trsvcid: 0,
    target: 'soft',
    disks: [
      { name: 'd1', sizeBytes: 2 * GIB },
      { name: 'd2', sizeBytes: 64 * 1024 ** 2 },
    ],
  });
});

test('folders for images come from flags or from the environment, and there are none by default', () => {
  const env = { LARIAT_IMAGE_FOLDERS: '/srv/images:/mnt/iso' };
  const flags = ['--image-folder', '/a', '--image-folder', '/b:c'];
  expect(readConfig(BASE, {}).imageFolders).toEqual([]);
  expect(readConfig(BASE, env).imageFolders).toEqual(['/srv/images', '/mnt/iso']);
  expect(readConfig([...BASE, ...flags], env).imageFolders).toEqual(['/a', '/b:c']);
});

test('every frontend is offered unless some are named', () => {
  expect(readConfig(BASE, {}).frontends).toEqual(['nvmf', 'kernel', 'nbd', 'loop']);
  expect(readConfig(BASE, { LARIAT_FRONTENDS: 'nbd,nvmf' }).frontends).toEqual(['nvmf', 'nbd']);
});

test('a target has 15 s to start, or as long as a slow machine needs', () => {
  expect(readConfig(BASE, {}).targetStartMs).toBe(15_000);
  expect(readConfig(BASE, { LARIAT_TARGET_START: '120' }).targetStartMs).toBe(120_000);
});

test('I/O through the kernel waits half an hour for a target, or as long as is asked for', () => {
  expect(readConfig(BASE, {}).kernelLossSeconds).toBe(1_800);
  expect(readConfig(BASE, { LARIAT_KERNEL_LOSS: '60' }).kernelLossSeconds).toBe(60);
});

test('everything may come from the environment', () => {
  const env = {
    LARIAT_NODE: 'n2',
    LARIAT_NATS_URL: 'nats://x:1',
    LARIAT_DATA: '/tmp/y',
    LARIAT_DISKS: 'd1=1GiB,d2=2GiB',
  };
  expect(readConfig([], env).disks.map(({ name }) => name)).toEqual(['d1', 'd2']);
});

test.each([
  [[], '--node NAME is missing'],
  [['--node', 'Not_A_Label'], 'not a DNS label'],
  [['--disk', 'd1'], 'KEY=VALUE'],
  [['--disk', 'd1=big'], 'not a size'],
  [['--disk', 'd1=1MiB'], 'at least 16 MiB'],
  [['--disk', 'd1=1GiB', '--disk', 'd1=2GiB'], 'twice'],
  [['--label', '=x'], 'KEY=VALUE'],
  [['--trsvcid', '70000'], 'not a port'],
  [['--trsvcid', 'http'], 'not a port'],
  [['--target', 'hard'], 'neither soft, spdk nor external'],
  [['--target', 'external'], '--target-socket'],
  [['--target', 'external', '--target-socket', 'a.sock'], "begins with '/'"],
  [['--target-socket', '/run/a.sock'], 'is for --target external'],
  [['--frontends', 'nbd,iscsi'], "'iscsi' is none of nvmf, kernel, nbd, loop"],
  [['--target-start', '0'], 'from 1 to 600'],
  [['--kernel-loss', '29'], 'from 30 to 86400'],
  [['--kernel-loss', 'never'], 'from 30 to 86400'],
  [['--target-start', '2.5'], 'from 1 to 600'],
  [['--target', 'spdk'], '--spdk-bin'],
  [['--target', 'spdk', '--spdk-bin', '/no/such/file'], 'no such file'],
  [['--image-folder', 'images'], "begins with '/'"],
  [['--nonsense'], 'nonsense'],
  [['positional'], 'positional'],
])('%j is refused: %s', (argv, message) => {
  const whole = argv.length === 0 ? [] : [...BASE, ...argv];
  expect(() => readConfig(whole, {})).toThrow(UsageError);
  expect(() => readConfig(whole, {})).toThrow(message);
});
