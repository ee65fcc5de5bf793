import {
  CONTENT_MACHINE,
  type RequestMap,
  type RequestName,
  type VolumeContent,
  type VolumeView,
  lariatError,
} from '@lariat/contracts';
import type { DeviceFacts } from '../domain/device.js';
import type { Mount } from '../domain/mount-table.js';
import { PROBED_BYTES } from '../domain/superblock.js';
import type { CallScope } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';
import {
  type Command,
  type CommandEnd,
  CommandUnknown,
  type HostPort,
} from '../ports/host.port.js';
import type { Staging, StagingsPort } from '../ports/stagings.port.js';

/** What becomes of the device, or of who uses it, at one moment. */
export type Fault =
  | 'died-before'
  | 'died-after'
  | 'device-gone'
  | 'device-failing'
  | 'device-of-zeros'
  | 'device-of-another';

export class Died extends Error {
  override readonly name = 'Died';
}

export const VOLUME = 'vol-0123456789ab';
export const OTHER = 'vol-bbbbbbbbbbbb';
export const NODE = 'n1';
const ENDPOINT = `/dev/lariat/${VOLUME}`;
const MAJOR_MINOR = '7:3';

const bytesOf = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex');

/** The beginning of a device as mkfs leaves it. */
export function superblock(fsType: string, uuid: string): Buffer {
  const head = Buffer.alloc(PROBED_BYTES);
  if (fsType === 'xfs') {
    head.write('XFSB', 0, 'latin1');
    bytesOf(uuid).copy(head, 32);
  } else {
    head.writeUInt16LE(0xef53, 1024 + 0x38);
    head.writeUInt32LE(0x2c2, 1024 + 0x60);
    bytesOf(uuid).copy(head, 1024 + 0x68);
  }
  return head;
}

/** A node with the volume attached, its cluster, and everything that may go wrong with them. */
export class FakeNode implements HostPort, StagingsPort, ClusterPort {
  content: VolumeContent = { state: 'blank' };
  /** Of the volume itself; what reads see may be another's. */
  head: Buffer = Buffer.alloc(PROBED_BYTES);
  otherHead: Buffer = superblock('ext4', 'dddddddd-dddd-4ddd-8ddd-dddddddddddd');
  epoch = 3;
  device: 'here' | 'gone' | 'failing' | 'zeros' | 'another' = 'here';
  mounted: Mount[] = [];
  readonly staged = new Map<string, Staging>();
  readonly commands: string[] = [];
  /** Of each mkfs, the content on record as it began. */
  readonly formats: VolumeContent['state'][] = [];
  /** Moments so far; a fault is for one of them. */
  moments = 0;
  private fault: { readonly atMoment: number; readonly what: Fault } | undefined;

  arm(what: Fault, atMoment: number): void {
    this.moments = 0;
    this.fault = { what, atMoment };
  }

  heal(): void {
    this.fault = undefined;
    this.device = 'here';
  }

  get uuid(): string {
    return 'uuid' in this.content ? this.content.uuid : '';
  }

  get formatted(): string[] {
    return this.commands.filter((program) => program.startsWith('mkfs'));
  }

  async run(command: Command): Promise<CommandEnd> {
    return this.moment(() => this.carryOut(command));
  }

  describe(path: string): Promise<DeviceFacts | undefined> {
    return this.moment(() => {
      if (this.device === 'gone' || (path !== ENDPOINT && path !== '/dev/loop3')) return undefined;
      const volume = this.device === 'another' ? OTHER : VOLUME;
      const footing = {
        toldBy: '/sys/class/block/loop3/loop/backing_file',
        text: `/data/loop/${volume}.${this.epoch}.1/nbd`,
      };
      return { path: '/dev/loop3', majorMinor: MAJOR_MINOR, sizeBytes: 2 ** 20, footing };
    });
  }

  mounts(): Promise<readonly Mount[]> {
    return this.moment(() => [...this.mounted]);
  }

  makeFolder(): Promise<void> {
    return this.moment(() => undefined);
  }

  makeFile(): Promise<void> {
    return this.moment(() => undefined);
  }

  remove(): Promise<void> {
    return this.moment(() => undefined);
  }

  get(volume: string): Promise<Staging | undefined> {
    return Promise.resolve(this.staged.get(volume));
  }

  put(staging: Staging): Promise<void> {
    return this.moment(() => void this.staged.set(staging.volume, staging));
  }

  drop(volume: string): Promise<void> {
    return this.moment(() => void this.staged.delete(volume));
  }

  request<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
    _scope: CallScope,
  ): Promise<RequestMap[Name]['reply']> {
    return this.moment(() => {
      if (name === 'internal.volume.set-content')
        this.setContent(body as RequestMap['internal.volume.set-content']['request']);
      return this.view() as unknown as RequestMap[Name]['reply'];
    });
  }

  view(): VolumeView {
    return {
      ...{ id: VOLUME, name: 'v', sizeBytes: 2 ** 20, state: 'attached', content: this.content },
      ...{ replicas: [], replicaCount: 0, robustness: 'healthy' },
      attachment: {
        epoch: this.epoch,
        node: NODE,
        frontend: 'loop',
        endpoint: ENDPOINT,
        inSync: [],
      },
    } as unknown as VolumeView;
  }

  /** One moment: a fault that is for it comes before what happens in it, or right after. */
  private async moment<T>(happen: () => T): Promise<T> {
    this.moments += 1;
    const isNow = this.fault?.atMoment === this.moments;
    const what = isNow ? this.fault?.what : undefined;
    if (what === 'died-before') throw new Died();
    if (what === 'device-gone') this.device = 'gone';
    if (what === 'device-failing') this.device = 'failing';
    if (what === 'device-of-zeros') this.device = 'zeros';
    if (what === 'device-of-another') this.device = 'another';
    const happened = happen();
    if (what === 'died-after') throw new Died();
    return happened;
  }

  private setContent({
    epoch,
    event,
    fsType,
    uuid,
  }: RequestMap['internal.volume.set-content']['request']) {
    if (epoch !== this.epoch) throw lariatError('EPOCH_STALE', 'stale');
    const { state } = this.content;
    if (event === 'disown') {
      if (CONTENT_MACHINE.can(state, event)) this.content = { state: 'foreign' };
      return;
    }
    const made = { fsType: fsType ?? '', uuid: uuid ?? '' };
    if (event === 'intend-format') {
      if (state === 'format-intended') return;
      if (state !== 'blank') throw lariatError('CONTENT_NOT_BLANK', 'not blank');
      this.content = { state: 'format-intended', ...made };
    } else if (state === 'format-intended') this.content = { state: 'initialised', ...made };
  }

  private carryOut({ program, args, on }: Command): CommandEnd {
    if (on !== undefined && (this.device === 'gone' || this.device === 'another'))
      throw new CommandUnknown('it was not begun');
    this.commands.push(program);
    const end = (code: number, stdout: Buffer = Buffer.alloc(0)): CommandEnd => ({
      ...{ code, stdout, stderr: code === 0 ? '' : 'it does not work' },
    });
    const isHere = this.device === 'here';
    switch (program) {
      case 'dd':
        if (this.device === 'gone' || this.device === 'failing') return end(1);
        if (this.device === 'zeros') return end(0, Buffer.alloc(PROBED_BYTES));
        return end(0, Buffer.from(isHere ? this.head : this.otherHead));
      case 'mkfs.ext4':
      case 'mkfs.xfs':
        return this.mkfs(program, args) ? end(0) : end(1);
      case 'e2fsck':
      case 'xfs_repair':
        return end(isHere && this.head.some((byte) => byte !== 0) ? 0 : 8);
      case 'mount':
        return this.mount(args) ? end(0) : end(32);
      case 'umount': {
        const path = args.at(-1);
        const at = this.mounted.findLastIndex((mount) => mount.path === path);
        if (at === -1) return end(32);
        this.mounted = this.mounted.filter((_mount, index) => index !== at);
        return end(0);
      }
      case 'stat':
        return end(isHere ? 0 : 1, Buffer.from('4096 100 50 50 10 5'));
      default:
        if (this.device === 'gone') throw new CommandUnknown('it hangs');
        return end(isHere ? 0 : 1);
    }
  }

  private mkfs(program: string, args: readonly string[]): boolean {
    this.formats.push(this.content.state);
    if (this.device === 'gone' || this.device === 'failing') return false;
    const fsType = program.slice('mkfs.'.length);
    const uuid = args.find((arg) => /[0-9a-f-]{36}$/.test(arg))?.slice(-36) ?? '';
    const made = superblock(fsType, uuid);
    if (this.device === 'here') this.head = made;
    if (this.device === 'another') this.otherHead = made;
    return true;
  }

  private mount(args: readonly string[]): boolean {
    const [from = '', path = ''] = args.slice(-2);
    if (this.device !== 'here' && !args.includes('--bind')) return false;
    if (args.includes('remount,bind,ro')) {
      this.mounted = this.mounted.map((mount) =>
        mount.path === path ? { ...mount, options: ['ro'] } : mount,
      );
      return true;
    }
    const options = args.includes('-o') ? (args[args.indexOf('-o') + 1] ?? '').split(',') : ['rw'];
    this.mounted.push({
      ...{ path, majorMinor: MAJOR_MINOR, root: from.replace('/dev', ''), options },
      ...{ fsType: 'ext4', source: from },
    });
    return true;
  }
}
