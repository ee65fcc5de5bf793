import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, existsSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import type { TargetKind } from '../contract/support/target-kind.js';
import { waitUntil } from '../contract/support/wait-until.js';
import { RecordedFolder } from '../left-over/record.js';

const run = promisify(execFile);
const PROGRAMS = ['nbdkit', 'nbdfuse', 'losetup', 'mkfs.ext4', 'mount', 'umount', 'unshare'];

/** Why there can be no such disk here; undefined when there can. */
export function whyNoVolatileDisk(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can mount';
  for (const device of ['/dev/fuse', '/dev/loop-control']) {
    if (!existsSync(device)) return `there is no ${device}`;
  }
  const missing = PROGRAMS.filter((program) => !isInPath(program));
  return missing.length === 0 ? undefined : `${missing.join(', ')} not installed`;
}

function isInPath(program: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * A mounted ext4 on a disk that forgets, when its power is cut, all that was not flushed to it: a loop device on
 * nbdfuse on nbdkit, whose cache filter holds writes back in memory of its own until the host flushes. Its error filter
 * makes writes fail on demand.
 */
export class VolatileDisk {
  private nbdkit: ChildProcess | undefined;
  private nbdfuse: ChildProcess | undefined;
  private loopDevice: string | undefined;
  private isFuseMounted = false;
  private isMounted = false;

  private constructor(private readonly folder: RecordedFolder) {}

  static async make(sizeBytes: number, features = 'has_journal'): Promise<VolatileDisk> {
    const disk = new VolatileDisk(RecordedFolder.make('lariat-volatile-'));
    const image = await open(disk.image, 'w');
    await image.truncate(sizeBytes);
    await image.close();
    // As large as a sector of the target's disk, which a cut leaves whole; by itself mkfs takes 1024 for a disk this small.
    await run('mkfs.ext4', ['-q', '-b', '4096', '-O', features, disk.image]);
    await mkdir(disk.mountPoint);
    await mkdir(disk.fuseFolder);
    return disk;
  }

  get mountPoint(): string {
    return join(this.folder.path, 'mnt');
  }

  /** The same program in a world where each `powerOn` is a boot: the kernel's own id, which it may look at, stays. */
  bootedKind(kind: TargetKind): TargetKind {
    const script = `mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`;
    return {
      ...kind,
      started: (pid) => this.folder.note(pid),
      command: (paths) => [
        'unshare',
        '--mount',
        ...['sh', '-c', script, this.bootId],
        ...kind.command(paths),
      ],
    };
  }

  async powerOn(): Promise<void> {
    await writeFile(this.bootId, randomUUID());
    await rm(this.socket, { force: true });
    // In the foreground, so that its pid is the one to kill.
    const disk = ['--filter=error', '--filter=cache', 'file', this.image, 'cache=writeback'];
    const errors = ['error-pwrite=EIO', 'error-pwrite-rate=1', `error-file=${this.badSectors}`];
    this.nbdkit = spawn('nbdkit', ['-f', '-U', this.socket, ...disk, ...errors], {
      stdio: 'ignore',
    });
    this.folder.note(this.nbdkit.pid);
    await waitUntil('nbdkit', 10_000, () => Promise.resolve(existsSync(this.socket)));
    this.nbdfuse = spawn('nbdfuse', [this.fuseFolder, `nbd+unix:///?socket=${this.socket}`], {
      stdio: 'ignore',
    });
    this.folder.note(this.nbdfuse.pid);
    await waitUntil('nbdfuse', 10_000, () => Promise.resolve(existsSync(this.device)));
    this.isFuseMounted = true;
    const { stdout } = await run('losetup', ['--show', '--find', this.device]);
    this.loopDevice = stdout.trim();
    await run('mount', [this.loopDevice, this.mountPoint]);
    this.isMounted = true;
  }

  /** From here on each write to the disk fails; reads and flushes don't. */
  async failWrites(): Promise<void> {
    await writeFile(this.badSectors, '');
  }

  /** The disk takes writes again. */
  async takeWrites(): Promise<void> {
    await rm(this.badSectors, { force: true });
  }

  /** What was not flushed is gone; whoever has files open here gets errors. Kill those before `clear`. */
  async cut(): Promise<void> {
    await ended(this.nbdkit, 'SIGKILL');
  }

  /** Takes what is left of the cut disk away. */
  async clear(): Promise<void> {
    await ended(this.nbdkit, 'SIGKILL');
    if (this.isMounted) await run('umount', [this.mountPoint]);
    this.isMounted = false;
    if (this.loopDevice !== undefined) await run('losetup', ['--detach', this.loopDevice]);
    this.loopDevice = undefined;
    if (this.isFuseMounted) await run('umount', [this.fuseFolder]);
    this.isFuseMounted = false;
    await ended(this.nbdfuse, 'SIGTERM');
  }

  async remove(): Promise<void> {
    await this.clear();
    this.folder.remove();
  }

  private get image(): string {
    return join(this.folder.path, 'disk.img');
  }

  /** While this file is there, writes fail. */
  private get badSectors(): string {
    return join(this.folder.path, 'bad-sectors');
  }

  private get bootId(): string {
    return join(this.folder.path, 'boot_id');
  }

  private get socket(): string {
    return join(this.folder.path, 'nbd.sock');
  }

  private get fuseFolder(): string {
    return join(this.folder.path, 'fuse');
  }

  private get device(): string {
    return join(this.fuseFolder, 'nbd');
  }
}

async function ended(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}
