import { existsSync } from 'node:fs';
import { mkdir, open, readFile, readdir, realpath, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { findProgram, runProgram } from '@lariat/programs';
import type { DeviceFacts, Footing } from '../domain/device.js';
import type { Mapping } from '../domain/mapping.js';
import { type Mount, parseMountInfo } from '../domain/mount-table.js';
import {
  type Command,
  type CommandEnd,
  CommandUnknown,
  type HostPort,
} from '../ports/host.port.js';
import type { CommandJournal } from './command-journal.js';
import { NOT_BEGUN, guarded } from './guarded-program.js';

const SYSTEM_FOLDERS = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const SECTOR_BYTES = 512;
const MAX_TOLD = 500;
const FOOTINGS = ['loop/backing_file', 'dm/uuid'];
const BLOCK_DEVICES = '/sys/class/block';

/** The machine that the plugin runs on, by its own programs and what its kernel tells in /proc and /sys. */
export class LinuxHost implements HostPort {
  constructor(private readonly journal: CommandJournal) {}

  async run(command: Command): Promise<CommandEnd> {
    const { program, args, volume, why } = command;
    const told = { program, args, volume, why };
    await this.journal.write({ ...told, is: 'begun' });
    try {
      const end = await runOn(command);
      const stderr = end.stderr.slice(-MAX_TOLD);
      await this.journal.write({ ...told, is: 'ended', code: end.code, stderr });
      return end;
    } catch (error) {
      await this.journal.write({ ...told, is: 'unknown', error: String(error) });
      throw error;
    }
  }

  async describe(path: string): Promise<DeviceFacts | undefined> {
    const device = await orUndefined(realpath(path));
    if (device === undefined) return undefined;
    const found = await orUndefined(stat(device));
    if (found === undefined || !found.isBlockDevice()) return undefined;
    const folder = join(BLOCK_DEVICES, basename(device));
    const read = async (name: string): Promise<string | undefined> =>
      (await orUndefined(readFile(join(folder, name), 'utf8')))?.trim();
    const [majorMinor, size] = [await read('dev'), await read('size')];
    if (majorMinor === undefined || size === undefined) return undefined;
    // A node that somebody made by hand may have another device's name.
    if (majorMinor !== numbersOf(found.rdev)) return undefined;
    const footings = FOOTINGS.map(async (name): Promise<readonly Footing[]> => {
      const text = await read(name);
      return text === undefined ? [] : [{ toldBy: join(folder, name), text }];
    });
    const [footing] = (await Promise.all(footings)).flat();
    return { path: device, majorMinor, sizeBytes: Number(size) * SECTOR_BYTES, footing };
  }

  async mounts(): Promise<readonly Mount[]> {
    return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
  }

  async mappings(): Promise<readonly Mapping[]> {
    const names = (await orUndefined(readdir(BLOCK_DEVICES))) ?? [];
    const found = await Promise.all(
      names.filter((name) => /^dm-\d+$/.test(name)).map((name) => this.mapping(name)),
    );
    return found.flatMap((mapping) => mapping ?? []);
  }

  /** By its number's name, which is there without udev too. */
  private async mapping(kernelName: string): Promise<Mapping | undefined> {
    const folder = join(BLOCK_DEVICES, kernelName);
    const device = await this.describe(join('/dev', kernelName));
    const name = await orUndefined(readFile(join(folder, 'dm', 'name'), 'utf8'));
    const below = await orUndefined(readdir(join(folder, 'slaves')));
    if (device === undefined || name === undefined || below === undefined) return undefined;
    const numbers = await Promise.all(
      below.map((one) => orUndefined(readFile(join(BLOCK_DEVICES, one, 'dev'), 'utf8'))),
    );
    const standsOn = numbers.flatMap((number) => number?.trim() ?? []);
    return { name: name.trim(), device, standsOn };
  }

  async makeFolder(path: string): Promise<void> {
    await mkdir(path, { recursive: true });
  }

  async makeFile(path: string): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    await (await open(path, 'a')).close();
  }

  async remove(path: string): Promise<void> {
    const found = await orUndefined(stat(path));
    if (found === undefined) return;
    // A folder that is not empty holds what is not ours.
    if (found.isDirectory()) await rmdir(path);
    else await rm(path, { force: true });
  }
}

async function orUndefined<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    // Of what is being taken away, sysfs answers with ENODEV.
    if (['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO'].includes(code)) return undefined;
    throw error;
  }
}

/** As the kernel writes them: the minor number's higher bits are above the major one. */
function numbersOf(rdev: number): string {
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xf_ff00);
  return `${(rdev >>> 8) & 0xfff}:${minor}`;
}

async function runOn(command: Command): Promise<CommandEnd> {
  const { on } = command;
  if (on === undefined) return runProgramOf(command);
  const end = await runProgramOf({ ...command, ...guarded(command, on, process.pid) });
  if (end.code === NOT_BEGUN)
    throw new CommandUnknown(`it was not begun: ${on.path} is another device now`);
  return end;
}

/** Where udev runs it makes the device's links, and is waited for; in a container it is not to be reached. */
const udevEnv = (): Readonly<Record<string, string>> =>
  existsSync('/run/udev/control') ? {} : { DM_DISABLE_UDEV: '1' };

async function runProgramOf(command: Command): Promise<CommandEnd> {
  const { program, args, input, deadlineMs } = command;
  const path = findProgram(program);
  if (path === undefined) throw new CommandUnknown('it is not on this node: install it');
  const env = { ...udevEnv(), PATH: `${process.env['PATH'] ?? ''}:${SYSTEM_FOLDERS}` };
  const run = { path, args, deadlineMs, env, ...(input === undefined ? {} : { input }) };
  const { outcome, stdout, stderr } = await runProgram(run);
  switch (outcome.kind) {
    case 'ended':
      return { code: outcome.code, stdout, stderr };
    case 'failed':
      throw new CommandUnknown(outcome.reason);
    case 'late':
      throw new CommandUnknown(`it had not ended after ${deadlineMs} ms`);
  }
}
