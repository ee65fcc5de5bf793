import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DeviceFacts } from '../domain/device.js';
import { CommandUnknown } from '../ports/host.port.js';
import { CommandJournal } from './command-journal.js';
import { guarded } from './guarded-program.js';
import { LinuxHost } from './linux-host.js';

describe('a program that writes on a device', () => {
  let folder = '';
  let on: DeviceFacts;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lariat-guard-'));
    on = {
      ...{ path: join(folder, 'device'), majorMinor: '7:3', sizeBytes: 1 },
      footing: { toldBy: join(folder, 'backing_file'), text: '/data/a b.1.1/nbd' },
    };
    writeFileSync(on.path, '');
    writeFileSync(on.footing?.toldBy ?? '', '/data/a b.1.1/nbd\n');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const journal = (): string => join(folder, 'commands.jsonl');
  const write = (device: DeviceFacts) =>
    new LinuxHost(new CommandJournal(journal())).run({
      ...{
        program: 'sh',
        args: ['-c', 'echo "$1" >"$2"; exit 3', 'sh', 'what is written', on.path],
      },
      ...{ deadlineMs: 10_000, volume: 'v', why: 'try it', on: device },
    });
  const written = (): string => readFileSync(on.path, 'utf8');

  it('runs with its own arguments, and its code is its own', async () => {
    expect(await write(on)).toMatchObject({ code: 3 });
    expect(written()).toBe('what is written\n');
    const [begun] = readFileSync(journal(), 'utf8').split('\n');
    expect(JSON.parse(begun ?? '')).toMatchObject({ program: 'sh', is: 'begun' });
  });

  it('gets what only it may know on its standard input, and nobody writes that down', async () => {
    const secret = 'what nobody may read';
    await new LinuxHost(new CommandJournal(journal())).run({
      ...{ program: 'sh', args: ['-c', 'cat >"$1"', 'sh', on.path], input: secret, on },
      ...{ deadlineMs: 10_000, volume: 'v', why: 'try it' },
    });
    expect(written()).toBe(secret);
    expect(readFileSync(journal(), 'utf8')).not.toContain(secret);
  });

  it.each<[string, () => DeviceFacts]>([
    ['stands on something else now', () => ({ ...on, footing: other('/data/b.1.1/nbd') })],
    ['is gone', () => ({ ...on, path: join(folder, 'no-device') })],
    ['has nothing to be known by', () => ({ ...on, footing: undefined })],
  ])('is not begun when the device %s', async (_what, device) => {
    await expect(write(device())).rejects.toThrow(CommandUnknown);
    expect(written()).toBe('');
  });
  const other = (text: string) => ({ toldBy: on.footing?.toldBy ?? '', text });

  it('is not begun for a process that is dead by then', async () => {
    const program = guarded({ program: 'cp', args: ['/proc/version', on.path] }, on, 1);
    const host = new LinuxHost(new CommandJournal(journal()));
    const told = { deadlineMs: 10_000, volume: 'v', why: 'try it' };
    expect((await host.run({ ...program, ...told })).code).not.toBe(0);
    expect(written()).toBe('');
  });
});
