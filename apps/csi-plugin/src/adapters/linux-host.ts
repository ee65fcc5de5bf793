import { spawn } from 'node:child_process';
import { mkdir, open, readFile, realpath, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MIB } from '@lariat/kernel';
import type { DeviceFacts, Footing } from '../domain/device.js';
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
const MAX_OUTPUT_BYTES = 4 * MIB;
/** What hangs in the kernel does not end when it is killed: nobody waits longer for that. */
const KILL_WAIT_MS = 500;
const SECTOR_BYTES = 512;
const MAX_TOLD = 500;
const FOOTINGS = ['loop/backing_file', 'dm/uuid'];

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
    const folder = join('/sys/class/block', basename(device));
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
  if (on === undefined) return runProgram(command);
  const end = await runProgram({ ...command, ...guarded(command, on, process.pid) });
  if (end.code === NOT_BEGUN)
    throw new CommandUnknown(`it was not begun: ${on.path} is another device now`);
  return end;
}

function runProgram({ program, args, deadlineMs }: Command): Promise<CommandEnd> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:${SYSTEM_FOLDERS}` },
      // A group of its own: what it starts ends with it.
      detached: true,
    });
    const outputs = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    let saidBytes = 0;
    let isAbandoned = false;
    let deadline: NodeJS.Timeout | undefined;
    const finish = (settle: () => void): void => {
      clearTimeout(deadline);
      child.unref();
      child.stdout.destroy();
      child.stderr.destroy();
      settle();
    };
    const abandon = (why: string): void => {
      if (isAbandoned) return;
      isAbandoned = true;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended by itself, and 'close' is about to say so.
      }
      const fail = (): void => finish(() => reject(new CommandUnknown(why)));
      deadline = setTimeout(fail, KILL_WAIT_MS);
      child.once('close', fail);
    };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => {
        saidBytes += chunk.length;
        if (saidBytes > MAX_OUTPUT_BYTES) abandon(`it said more than ${MAX_OUTPUT_BYTES} bytes`);
        else outputs[name].push(chunk);
      });
    }
    deadline = setTimeout(() => abandon(`it had not ended after ${deadlineMs} ms`), deadlineMs);
    child.once('error', (error) => finish(() => reject(new CommandUnknown(error.message))));
    child.once('close', (code, signal) => {
      if (isAbandoned) return;
      finish(() => {
        if (code === null) reject(new CommandUnknown(`it was ended by ${signal ?? 'a signal'}`));
        else
          resolve({
            code,
            stdout: Buffer.concat(outputs.stdout),
            stderr: Buffer.concat(outputs.stderr).toString(),
          });
      });
    });
  });
}
