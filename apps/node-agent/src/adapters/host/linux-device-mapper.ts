import { existsSync } from 'node:fs';
import { lariatError } from '@lariat/contracts';
import type { SeenDm } from '../../domain/dm-life.js';
import type { DeviceMapperPort, DmTable } from '../../ports/kernel-devices.port.js';
import type { ProgramsPort } from '../../ports/programs.port.js';
import { attribute, blockSizeOf, namesIn, sectorsOf } from './sysfs.js';

const DEADLINE_MS = 5_000;
const DEVICE = /^dm-\d+$/;

/** Looks at /sys; changes things through dmsetup. */
export class LinuxDeviceMapper implements DeviceMapperPort {
  constructor(private readonly programs: ProgramsPort) {}

  list(): readonly SeenDm[] {
    return namesIn('/sys/block').flatMap((name) => {
      // The kernel names them all so; to ask each other device costs as much as all the rest.
      if (!DEVICE.test(name)) return [];
      const uuid = attribute(`/sys/block/${name}/dm/uuid`);
      if (uuid === undefined) return [];
      const [beneath] = namesIn(`/sys/block/${name}/slaves`);
      return [
        {
          device: `/dev/${name}`,
          uuid,
          isSuspended: attribute(`/sys/block/${name}/dm/suspended`) === '1',
          sizeBytes: blockSizeOf(name),
          over:
            beneath === undefined
              ? null
              : (attribute(`/sys/block/${name}/slaves/${beneath}/dev`) ?? null),
        },
      ];
    });
  }

  async create(name: string, uuid: string, table: DmTable, operation: string): Promise<void> {
    const args = ['create', name, '--uuid', uuid, '--table', tableOf(table)];
    await this.run(args, `make the device ${uuid}`, operation);
  }

  /**
   * What is in flight is waited for in any case (dm_suspend in the kernel's drivers/md/dm.c). Without a freeze of the file
   * system above, which would first write all that it has, and wait for what only another table may be able to do.
   */
  async suspend(uuid: string, operation: string): Promise<void> {
    const args = ['suspend', '--noflush', '--nolockfs', '--uuid', uuid];
    await this.run(args, `hold I/O of ${uuid}`, operation);
  }

  async reload(uuid: string, table: DmTable, operation: string): Promise<void> {
    const why = `give the device ${uuid} another table`;
    await this.suspend(uuid, operation);
    try {
      await this.run(['load', '--uuid', uuid, '--table', tableOf(table)], why, operation);
    } finally {
      await this.resume(uuid, operation);
    }
  }

  async resume(uuid: string, operation: string): Promise<void> {
    await this.run(['resume', '--uuid', uuid], `let I/O of ${uuid} go on`, operation);
  }

  async remove(uuid: string, operation: string): Promise<void> {
    const args = ['remove', '--deferred', '--uuid', uuid];
    await this.run(args, `take the device ${uuid} away`, operation);
  }

  private async run(args: readonly string[], why: string, operation: string): Promise<void> {
    const end = await this.programs.run({
      ...{ program: 'dmsetup', args, why, operation, deadlineMs: DEADLINE_MS },
      // Else dmsetup waits for a udev that is not there.
      ...(existsSync('/run/udev/control') ? {} : { env: { DM_DISABLE_UDEV: '1' } }),
    });
    if (end.code === 0) return;
    throw lariatError('DEVICE_NOT_MADE', `dmsetup could not ${why}: ${end.stderr}`);
  }
}

const tableOf = ({ over, sizeBytes }: DmTable): string =>
  over === null ? `0 ${sectorsOf(sizeBytes)} error` : `0 ${sectorsOf(sizeBytes)} linear ${over} 0`;
