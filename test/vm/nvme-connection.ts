import { basename } from 'node:path';
import { type VolumeView, hostIdOf } from '@lariat/contracts';
import { waitUntil } from '../contract/support/wait-until.js';
import type { GuestCommands } from './guest/guest-commands.js';
import { HOST_ADDRESS } from './guest/guest.js';

export const GUEST_NQN = 'nqn.2026-01.io.lariat:guest';
const GUEST_ID = '6ba0a3c2-5f30-4b7e-9e0e-7d5f0a4c1b11';
const CONNECT_TIMEOUT_MS = 60_000;

export interface ConnectOptions {
  /** Where the target listens; else on the host. */
  readonly traddr?: string;
  readonly port: string;
  readonly nqn: string;
  /** As whom; its host id goes with it. Else as the guest. */
  readonly hostNqn?: string;
  /** How long the kernel holds I/O for a path that is gone. */
  readonly lossSeconds?: number;
}

/** How a host connects to a volume that is attached to be used over NVMe/TCP. */
export function connectionTo(
  attachment: VolumeView['attachment'],
): ReturnType<typeof parseEndpoint> & Required<Pick<ConnectOptions, 'hostNqn'>> {
  const [hostNqn = ''] = attachment?.hostNqns ?? [];
  return { ...parseEndpoint(attachment?.endpoint ?? ''), hostNqn };
}

/** What is in the address that a volume is attached at, for the kernel's host. */
export function parseEndpoint(endpoint: string): Pick<ConnectOptions, 'port' | 'nqn'> & {
  readonly address: string;
} {
  const { hostname, port, pathname } = new URL(endpoint.replace('nvme+tcp:', 'http:'));
  return { address: hostname, port, nqn: decodeURIComponent(pathname.slice(1)) };
}

/** A connection of the guest's kernel to a subsystem with one namespace. */
export class NvmeConnection {
  private constructor(
    private readonly guest: GuestCommands,
    /** Such as nvme0. */
    private readonly controller: string,
    readonly nqn: string,
    /**
     * Below /sys. With multipath such as nvme0c0n1; the device, with the number of its subsystem, is nvme0n1; n2, when one
     * that is gone has n1 since somebody still holds it.
     */
    private readonly path: string,
  ) {}

  static async open(
    guest: GuestCommands,
    { traddr = HOST_ADDRESS, port, nqn, hostNqn, lossSeconds = 600 }: ConnectOptions,
  ): Promise<NvmeConnection> {
    await guest.run(['modprobe', 'nvme-tcp']);
    await guest.run([
      ...(['nvme', 'connect', '--transport=tcp'] as const),
      ...[`--traddr=${traddr}`, `--trsvcid=${port}`, `--nqn=${nqn}`],
      ...(hostNqn === undefined
        ? [`--hostnqn=${GUEST_NQN}`, `--hostid=${GUEST_ID}`]
        : [`--hostnqn=${hostNqn}`, `--hostid=${hostIdOf(hostNqn)}`]),
      ...[`--ctrl-loss-tmo=${lossSeconds}`, '--reconnect-delay=1', '--keep-alive-tmo=5'],
      '--nr-io-queues=2',
    ]);
    const controller = await waitUntil('the controller', CONNECT_TIMEOUT_MS, () =>
      findBySysfs(guest, '/sys/class/nvme/*/subsysnqn', nqn),
    );
    const path = await waitUntil('the namespace', CONNECT_TIMEOUT_MS, async () => {
      const { stdout } = await guest.exec([
        ...(['sh', '-c', `ls -d /sys/class/nvme/${controller}/nvme*n*`] as const),
      ]);
      return stdout.trim() === '' ? undefined : stdout.trim();
    });
    return new NvmeConnection(guest, controller, nqn, path);
  }

  get device(): string {
    return `/dev/${basename(this.path).replace(/c\d+n/, 'n')}`;
  }

  /** live, connecting, resetting, … */
  async state(): Promise<string> {
    return this.read(`/sys/class/nvme/${this.controller}/state`);
  }

  /** As the kernel has it: uuid, size, queue/logical_block_size, … */
  async attribute(name: string): Promise<string> {
    return this.read(`/sys/block/${basename(this.device)}/${name}`);
  }

  async waitForState(wanted: string): Promise<void> {
    await waitUntil(`the path to be ${wanted}`, CONNECT_TIMEOUT_MS, async () =>
      (await this.state()) === wanted ? true : undefined,
    );
  }

  async sectorsWritten(): Promise<number> {
    // Of the path: the device above it counts nothing.
    return Number((await this.read(`${this.path}/stat`)).split(/\s+/)[6]);
  }

  async close(): Promise<void> {
    await this.guest.run(['nvme', 'disconnect', `--nqn=${this.nqn}`]);
  }

  private async read(path: string): Promise<string> {
    return (await this.guest.run(['cat', path])).trim();
  }
}

/** The folder above the attribute that has the value. */
async function findBySysfs(
  guest: GuestCommands,
  pattern: string,
  value: string,
): Promise<string | undefined> {
  const { stdout } = await guest.exec(['sh', '-c', `grep -lxF '${value}' ${pattern}`]);
  return stdout.split('\n')[0]?.split('/').at(-2);
}
