import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { hostIdOf, lariatError, type NvmfEndpoint } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import type { SeenController, SeenNamespace } from '../../domain/dm-life.js';
import type { KernelNvmePort } from '../../ports/kernel-devices.port.js';
import type { ProgramsPort } from '../../ports/programs.port.js';
import { attribute, blockSizeOf, namesIn } from './sysfs.js';

const CONNECT_DEADLINE_MS = 6_000;
const DISCONNECT_DEADLINE_MS = 5_000;
/** One volume of many on a host: a queue a processor would cost memory on both sides, and be idle. */
const IO_QUEUES = 2;
/** A target that was restarted is there again in about that time. */
const RECONNECT_DELAY_S = 1;
const KEEP_ALIVE_S = 5;
/** A namespace that several paths may lead to, and not one of those paths, which have a `c` in their names. */
const NAMESPACE = /^nvme\d+n\d+$/;

/** Looks at /sys; changes things through nvme-cli. */
export class LinuxKernelNvme implements KernelNvmePort {
  /**
   * I/O waits for `lossSeconds` for a target that does not come back; then it fails, so that a host whose agent is gone for
   * good is not left with processes that nothing can end. An agent that runs ends connections that no one wants much earlier.
   */
  constructor(
    private readonly programs: ProgramsPort,
    private readonly lossSeconds: number,
  ) {}

  controllers(): readonly SeenController[] {
    return namesIn('/sys/class/nvme').map((name) => {
      const of = (what: string): string => attribute(`/sys/class/nvme/${name}/${what}`) ?? '';
      return { name, subsystemNqn: of('subsysnqn'), hostNqn: of('hostnqn') };
    });
  }

  namespaces(): readonly SeenNamespace[] {
    return namesIn('/sys/block').flatMap((name) => {
      if (!NAMESPACE.test(name)) return [];
      const of = (what: string): string => attribute(`/sys/block/${name}/${what}`) ?? '';
      return [
        {
          device: `/dev/${name}`,
          number: of('dev'),
          uuid: of('uuid'),
          subsystemNqn: of('device/subsysnqn'),
          sizeBytes: blockSizeOf(name),
        },
      ];
    });
  }

  async connect(endpoint: NvmfEndpoint, hostNqn: string, operation: string): Promise<void> {
    const { traddr, trsvcid, nqn } = endpoint;
    const args = [
      ...['connect', '--transport=tcp', `--traddr=${traddr}`, `--trsvcid=${trsvcid}`],
      ...[`--nqn=${nqn}`, `--hostnqn=${hostNqn}`, `--hostid=${hostIdOf(hostNqn)}`],
      ...[`--nr-io-queues=${IO_QUEUES}`, `--reconnect-delay=${RECONNECT_DELAY_S}`],
      ...[`--ctrl-loss-tmo=${this.lossSeconds}`, `--keep-alive-tmo=${KEEP_ALIVE_S}`],
    ];
    await this.run(args, `connect to ${nqn}`, operation, CONNECT_DEADLINE_MS);
  }

  refuseDiscards(device: string): void {
    try {
      writeFileSync(`/sys/block/${basename(device)}/queue/discard_max_bytes`, '0');
    } catch (cause) {
      const { message } = toLariatError(cause);
      throw lariatError(
        'DEVICE_NOT_MADE',
        `${device} could not be kept from discards, after which its target may not read zeros: ${message}`,
        { device },
        cause,
      );
    }
  }

  async disconnect(controller: string, operation: string): Promise<void> {
    const args = ['disconnect', `--device=${controller}`];
    await this.run(args, `end the connection ${controller}`, operation, DISCONNECT_DEADLINE_MS);
  }

  private async run(
    args: readonly string[],
    why: string,
    operation: string,
    deadlineMs: number,
  ): Promise<void> {
    const end = await this.programs.run({ program: 'nvme', args, why, operation, deadlineMs });
    if (end.code === 0) return;
    throw lariatError('DEVICE_NOT_MADE', `nvme could not ${why}: ${end.stderr || end.stdout}`);
  }
}
