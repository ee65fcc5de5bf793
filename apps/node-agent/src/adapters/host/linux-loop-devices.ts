import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, rmdir } from 'node:fs/promises';
import { lariatError } from '@lariat/contracts';
import type { SeenLoop } from '../../domain/loop-life.js';
import type { LoopDevicesPort } from '../../ports/loop-devices.port.js';
import type { ProgramsPort } from '../../ports/programs.port.js';
import { ownMounts } from './mount-table.js';

const DEADLINE_MS = 5_000;

/** What the kernel lists is read from /sys and /proc: a look at the files themselves hangs where their server does. */
export class LinuxLoopDevices implements LoopDevicesPort {
  constructor(private readonly programs: ProgramsPort) {}

  list(): readonly SeenLoop[] {
    return readdirSync('/sys/block').flatMap((name) => {
      if (!name.startsWith('loop')) return [];
      try {
        const of = (attribute: string): string =>
          readFileSync(`/sys/block/${name}/loop/${attribute}`, 'utf8').trimEnd();
        const isEnding = of('autoclear') === '1';
        return [{ device: `/dev/${name}`, backingFile: of('backing_file'), isEnding }];
      } catch {
        // A device without a file has no such folder.
        return [];
      }
    });
  }

  isMounted(folder: string): boolean {
    return ownMounts().some(({ mountPoint }) => mountPoint === folder);
  }

  async bind(file: string, sectorSizeBytes: number, operation: string): Promise<void> {
    const options = ['--direct-io=on', '--sector-size', String(sectorSizeBytes)];
    const args = ['--find', ...options, file];
    await this.run('losetup', args, `make a loop device on ${file}`, operation);
  }

  async unbind(device: string, operation: string): Promise<void> {
    await this.run('losetup', ['--detach', device], `take ${device} away`, operation);
  }

  async makeFolder(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true });
  }

  async unmount(folder: string, operation: string): Promise<void> {
    await this.run('umount', [folder], `end what was served at ${folder}`, operation);
  }

  async removeFolder(folder: string): Promise<void> {
    try {
      await rmdir(folder);
    } catch (reason) {
      if ((reason as NodeJS.ErrnoException).code !== 'ENOENT') throw reason;
    }
  }

  private async run(
    program: string,
    args: readonly string[],
    why: string,
    operation: string,
  ): Promise<void> {
    const end = await this.programs.run({ program, args, why, operation, deadlineMs: DEADLINE_MS });
    if (end.code === 0) return;
    throw lariatError('PROGRAM_FAILED', `${program} could not ${why}: ${end.stderr}`, { program });
  }
}
