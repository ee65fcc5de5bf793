import 'reflect-metadata';
import { closeSync, existsSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tempDir } from '../../testing/fixture.js';
import { AgentLock } from './agent-lock.js';
import { LinuxProcesses } from './linux-processes.js';
import { NodeFiles } from './node-files.js';
import { isAlive, ownIdentity, parseProcStat } from './proc-stat.js';
import { isRefused, probePort } from './tcp-port.js';

let dir: ReturnType<typeof tempDir>;
beforeEach(() => {
  dir = tempDir();
});
afterEach(() => dir.remove());

test('a name with blanks and parentheses does not shift the fields of /proc stat', () => {
  const rest = ['S', ...Array.from({ length: 18 }, (_, index) => String(index)), '4711', '0'];
  expect(parseProcStat(`12 (a) b (c)) ${rest.join(' ')}`)).toEqual({ state: 'S', startTime: 4711 });
  expect(parseProcStat('')).toBeUndefined();
});

test('a process with the same pid and another start is another process', () => {
  const own = ownIdentity();
  expect(isAlive(own)).toBe(true);
  expect(isAlive({ ...own, startTime: own.startTime + 1 })).toBe(false);
});

test('one agent a data folder, until it lets go or dies', () => {
  const first = AgentLock.acquire(dir.path);
  expect(() => AgentLock.acquire(dir.path)).toThrow(`in use by the agent with pid ${process.pid}`);
  first.release();
  writeFileSync(join(dir.path, 'agent.lock'), JSON.stringify({ pid: process.pid, startTime: 1 }));
  AgentLock.acquire(dir.path).release();
  writeFileSync(join(dir.path, 'agent.lock'), 'half a');
  AgentLock.acquire(dir.path).release();
  expect(existsSync(join(dir.path, 'agent.lock'))).toBe(false);
});

test('a detached process is found by its argument, and stopped by its identity alone', async () => {
  const processes = new LinuxProcesses();
  const mark = join(dir.path, 'mark');
  const script = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('up')";
  const log = join(dir.path, 'logs', 'child.log');
  const child = await processes.startDetached(process.execPath, ['-e', script, mark], log);
  expect(processes.findByArgument(mark)).toEqual(child);
  await processes.stop({ ...child, startTime: child.startTime + 1 }, 0);
  expect(processes.isAlive(child)).toBe(true);
  // It ignores SIGTERM: the deadline decides.
  await processes.stop(child, 50);
  expect(processes.isAlive(child)).toBe(false);
  expect(processes.findByArgument(mark)).toBeUndefined();
});

test('a program that is not there is said to be so', async () => {
  const start = new LinuxProcesses().startDetached('/no/such/program', [], join(dir.path, 'log'));
  await expect(start).rejects.toThrow('/no/such/program');
});

test('a disk file is sparse, blank, and never made over another', async () => {
  const files = new NodeFiles();
  const path = join(dir.path, 'disks', 'd1.img');
  expect(await files.kindOf(path)).toBe('absent');
  await files.makeSparse(path, 1 << 30);
  expect(await files.kindOf(path)).toBe('file');
  expect(await files.contentOf(path)).toEqual([]);
  await expect(files.makeSparse(path, 1 << 20)).rejects.toThrow('EEXIST');
  writeFileSync(path, 'not blank');
  expect(await files.contentOf(path)).toEqual(['data of no known kind']);
  await files.clearContent(path);
  expect(await files.contentOf(path)).toEqual([]);
  truncateSync(path, 3 << 20);
  for (const at of [0, (3 << 20) - 1]) {
    const fd = openSync(path, 'r+');
    writeSync(fd, 'x', at);
    closeSync(fd);
    expect(await files.contentOf(path)).toEqual(['data of no known kind']);
    await files.clearContent(path);
    expect(await files.contentOf(path)).toEqual([]);
  }
  expect(await files.kindOf(dir.path)).toBe('other');
});

test('a port in use is seen before a target is started on it', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  expect(await probePort('127.0.0.1', port)).toBeUndefined();
  expect(await isRefused('127.0.0.1', String(port))).toBe(false);
  await new Promise((resolve) => server.close(resolve));
  expect(await isRefused('127.0.0.1', String(port))).toBe(true);
  expect(await probePort('127.0.0.1', port)).toBe(port);
});
