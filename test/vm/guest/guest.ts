import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Hopeless, waitUntil } from '../../contract/support/wait-until.js';
import { RecordedFolder } from '../../left-over/record.js';
import { GuestCommands } from './guest-commands.js';
import { type HostLink, LINK_PREFIX_BITS } from './host-link.js';
import { type GuestImage, VIRTIOFSD } from './guest-image.js';

/** Four seconds on a machine with nothing else to do. */
const BOOT_TIMEOUT_MS = 120_000;
const SYNC_TIMEOUT_MS = 2_000;
const MEMORY_MIB = 1024;

/** Where a guest finds the host's 127.0.0.1. */
export const HOST_ADDRESS = '10.0.2.2';
export const GUEST_ADDRESS = '10.0.2.15';

export interface GuestOptions {
  readonly memoryMib?: number;
  /** Files of the host that the guest has as /dev/vdb, /dev/vdc, …; what was written to them outlives a reset. */
  readonly disks?: readonly string[];
  /** Ports of the guest that the host reaches on its own 127.0.0.1. */
  readonly forwards?: readonly { readonly hostPort: number; readonly guestPort: number }[];
  /** In the place of QEMU's own network: guest and host have one address each for the other. */
  readonly link?: HostLink;
  /** `shell`: one on this terminal. */
  readonly console?: 'log' | 'shell';
}

/**
 * A Debian kernel in QEMU that sees the host's files at their own paths; what it writes stays in its memory. Neither
 * QEMU nor what it starts outlives the process that booted it.
 */
export class Guest {
  private qemu: ChildProcess | undefined;
  private files: ChildProcess | undefined;
  private commandsNow: GuestCommands | undefined;

  private constructor(
    private readonly image: GuestImage,
    private readonly options: GuestOptions,
    private readonly recorded: RecordedFolder,
  ) {}

  static async boot(image: GuestImage, options: GuestOptions = {}): Promise<Guest> {
    const guest = new Guest(image, options, RecordedFolder.make('lariat-vm-'));
    try {
      await guest.start();
    } catch (error) {
      await guest.stop();
      throw error;
    }
    return guest;
  }

  get commands(): GuestCommands {
    if (this.commandsNow === undefined) throw new Error('the guest does not run');
    return this.commandsNow;
  }

  /** Where another process may open commands of its own, after `release`. */
  get socket(): string {
    return join(this.folder, 'agent.sock');
  }

  get folder(): string {
    return this.recorded.path;
  }

  get pid(): number {
    const pid = this.qemu?.pid;
    if (pid === undefined) throw new Error('the guest does not run');
    return pid;
  }

  /** What the kernel has said. */
  consoleLog(): Promise<string> {
    return readFile(this.logPath, 'utf8').catch(() => '');
  }

  /** Lets go of the channel, which has one client at a time. */
  release(): void {
    this.commandsNow?.close();
    this.commandsNow = undefined;
  }

  /** As if the reset button were pressed: nothing is stopped or flushed, and the kernel boots anew. */
  async reset(): Promise<void> {
    await this.kill();
    await this.start();
  }

  async stop(): Promise<void> {
    await this.kill();
    this.recorded.remove();
  }

  /** Resolves when QEMU has ended, by itself too: a kernel that panics ends it. */
  async ended(): Promise<void> {
    const { qemu } = this;
    if (qemu !== undefined && isRunning(qemu)) await once(qemu, 'exit');
  }

  private async kill(): Promise<void> {
    this.release();
    await ended(this.qemu, 'SIGKILL');
    this.qemu = undefined;
    // It ends by itself, but until it has, its lock on the socket's path refuses the next one.
    await ended(this.files, 'SIGTERM');
    this.files = undefined;
  }

  private async start(): Promise<void> {
    await Promise.all([this.socket, this.filesSocket].map((path) => rm(path, { force: true })));
    await this.serveFiles();
    const { console: terminal = 'log' } = this.options;
    const stdio = terminal === 'shell' ? 'inherit' : (['ignore', 'ignore', 'pipe'] as const);
    const qemu = spawnBound('qemu-system-x86_64', this.qemuArguments(terminal), stdio);
    this.qemu = qemu;
    this.recorded.note(qemu.pid);
    let printed = '';
    qemu.stderr?.on('data', (data: Buffer) => (printed += data.toString()));
    try {
      this.commandsNow = await waitUntil('the guest to boot', BOOT_TIMEOUT_MS, () => {
        if (!isRunning(qemu)) throw new Hopeless('QEMU has ended');
        return GuestCommands.open(this.socket, SYNC_TIMEOUT_MS);
      });
    } catch (error) {
      const said = `${printed}\n${await this.consoleLog()}`.trim().split('\n').slice(-30);
      throw new Error(`the guest does not boot; it said:\n${said.join('\n')}`, { cause: error });
    }
  }

  private async serveFiles(): Promise<void> {
    const served = spawnBound(
      VIRTIOFSD,
      [
        `--socket-path=${this.filesSocket}`,
        ...['-o', 'source=/', '-o', 'cache=always', '-o', 'sandbox=chroot'],
      ],
      'ignore',
    );
    this.files = served;
    this.recorded.note(served.pid);
    await waitUntil('virtiofsd', BOOT_TIMEOUT_MS, () => {
      if (!isRunning(served)) throw new Hopeless('virtiofsd has ended');
      return Promise.resolve(existsSync(this.filesSocket));
    });
  }

  private qemuArguments(terminal: 'log' | 'shell'): readonly string[] {
    const { memoryMib = MEMORY_MIB, disks = [] } = this.options;
    const network = this.network();
    const drive = (id: string, file: string, more: string): readonly string[] => [
      ...['-drive', `if=none,id=${id},file=${file},format=raw${more}`],
      ...['-device', `virtio-blk-pci,drive=${id}`],
    ];
    return [
      // QEMU 7.2 corrupts flags around cmpxchg16b, and a second processor now and then makes a kernel panic.
      ...['-accel', 'tcg', '-cpu', 'max,-cx16', '-smp', '1', '-m', String(memoryMib)],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
      ...['-kernel', this.image.kernel, '-initrd', this.image.ramdisk],
      ...['-serial', terminal === 'shell' ? 'mon:stdio' : `file:${this.logPath}`],
      ...['-object', `memory-backend-memfd,id=mem,size=${memoryMib}M,share=on`],
      ...['-machine', 'memory-backend=mem'],
      ...['-chardev', `socket,id=files,path=${this.filesSocket}`],
      ...['-device', 'vhost-user-fs-pci,chardev=files,tag=host,queue-size=512'],
      ...drive('layer', this.image.layer, ',readonly=on'),
      // The host does not crash: what its memory has outlives a reset as well, and its own disk is what all tests wait for.
      ...disks.flatMap((file, index) => drive(`disk${index}`, file, ',discard=unmap,cache=unsafe')),
      ...['-netdev', network.device],
      ...['-device', 'virtio-net-pci,netdev=net,romfile='],
      ...['-device', 'virtio-serial-pci'],
      ...['-chardev', `socket,id=agent,path=${this.socket},server=on,wait=off`],
      ...['-device', 'virtserialport,chardev=agent,name=org.qemu.guest_agent.0'],
      '-append',
      [
        // A kernel that has met a bug must end, so that a test sees it.
        ...['console=ttyS0', 'quiet', 'panic=-1', 'oops=panic'],
        ...['mitigations=off', 'cryptomgr.notests no_timer_check'],
        ...[`guest.address=${network.address}`, `guest.gateway=${network.gateway}`],
        ...(terminal === 'shell' ? ['guest.shell'] : []),
      ].join(' '),
    ];
  }

  private network(): Readonly<Record<'device' | 'address' | 'gateway', string>> {
    const { link, forwards = [] } = this.options;
    if (link !== undefined) {
      const { name, guestAddress, hostAddress } = link;
      return {
        device: `tap,id=net,ifname=${name},script=no,downscript=no`,
        address: `${guestAddress}/${LINK_PREFIX_BITS}`,
        gateway: hostAddress,
      };
    }
    const forwarded = forwards.map(
      ({ hostPort, guestPort }) => `,hostfwd=tcp:127.0.0.1:${hostPort}-:${guestPort}`,
    );
    return {
      device: `user,id=net${forwarded.join('')}`,
      address: `${GUEST_ADDRESS}/24`,
      gateway: HOST_ADDRESS,
    };
  }

  private get logPath(): string {
    return join(this.folder, 'console.log');
  }

  private get filesSocket(): string {
    return join(this.folder, 'files.sock');
  }
}

const isRunning = (child: ChildProcess): boolean =>
  child.exitCode === null && child.signalCode === null;

async function ended(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || !isRunning(child)) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}

/** A process that the kernel kills when this one ends, however that comes about. */
function spawnBound(
  program: string,
  args: readonly string[],
  stdio: 'ignore' | 'inherit' | readonly ['ignore', 'ignore', 'pipe'],
): ChildProcess {
  const bound = ['--pdeathsig', 'KILL', program, ...args];
  return spawn('setpriv', bound, { stdio: typeof stdio === 'string' ? stdio : [...stdio] });
}
