import {
  CONTENT_MACHINE,
  type ContentEvent,
  type RequestMap,
  type RequestName,
  type VolumeContent,
  type VolumeView,
  lariatError,
} from '@lariat/contracts';
import type { DeviceFacts } from '../domain/device.js';
import type { Mapping } from '../domain/mapping.js';
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
const MAPPED = { path: '/dev/dm-0', majorMinor: '253:0' };
/** What was never written, read through a key. */
const NOISE = Buffer.alloc(PROBED_BYTES, 0xa5);

const bytesOf = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex');

/** The beginning of a device as mkfs leaves it. */
export function superblock(fsType: string, uuid: string): Buffer {
  const head = Buffer.alloc(PROBED_BYTES);
  if (fsType === 'crypto_LUKS') {
    head.write('LUKS\xba\xbe', 0, 'latin1');
    head.write(uuid, 168, 'latin1');
  } else if (fsType === 'xfs') {
    head.write('XFSB', 0, 'latin1');
    bytesOf(uuid).copy(head, 32);
  } else {
    head.writeUInt16LE(0xef53, 1024 + 0x38);
    head.writeUInt32LE(0x2c2, 1024 + 0x60);
    bytesOf(uuid).copy(head, 1024 + 0x68);
  }
  return head;
}

const isSet = (byte: number): boolean => byte !== 0;

function contentAfter(
  content: VolumeContent,
  { event, fsType, uuid }: { event: ContentEvent; fsType: string; uuid: string },
): VolumeContent {
  const { state } = content;
  if (event === 'disown') return CONTENT_MACHINE.can(state, event) ? { state: 'foreign' } : content;
  if (event === 'intend-format') {
    if (state === 'format-intended') return content;
    if (state !== 'blank') throw lariatError('CONTENT_NOT_BLANK', 'not blank');
    return { state: 'format-intended', fsType, uuid };
  }
  if (state !== 'format-intended') return content;
  const made = { state: 'initialised', fsType, uuid } as const;
  return fsType === 'crypto_LUKS' ? { ...made, inside: { state: 'blank' } } : made;
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
  mapped: { readonly name: string; readonly uuid: string; readonly standsOn: string }[] = [];
  /** What lies under the header of the volume, read with its key. */
  inner: Buffer = NOISE;
  passphrase = '';
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

  get headersMade(): string[] {
    return this.commands.filter((program) => program === 'cryptsetup luksFormat');
  }

  async run(command: Command): Promise<CommandEnd> {
    return this.moment(() => this.carryOut(command));
  }

  describe(path: string): Promise<DeviceFacts | undefined> {
    return this.moment(() => {
      if (path === MAPPED.path) return this.mappedDevice();
      if (this.device === 'gone' || (path !== ENDPOINT && path !== '/dev/loop3')) return undefined;
      const volume = this.device === 'another' ? OTHER : VOLUME;
      const footing = {
        toldBy: '/sys/class/block/loop3/loop/backing_file',
        text: `/data/loop/${volume}.${this.epoch}.1/nbd`,
      };
      return { path: '/dev/loop3', majorMinor: MAJOR_MINOR, sizeBytes: 2 ** 20, footing };
    });
  }

  mappings(): Promise<readonly Mapping[]> {
    return this.moment(() =>
      this.mapped.flatMap(({ name, standsOn }) => {
        const device = this.mappedDevice();
        return device === undefined ? [] : [{ name, device, standsOn: [standsOn] }];
      }),
    );
  }

  private mappedDevice(): DeviceFacts | undefined {
    const [open] = this.mapped;
    if (open === undefined) return undefined;
    const text = `CRYPT-LUKS2-${open.uuid.replaceAll('-', '')}-${open.name}`;
    const footing = { toldBy: '/sys/class/block/dm-0/dm/uuid', text };
    return { ...MAPPED, sizeBytes: 2 ** 20, footing };
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
    inside,
  }: RequestMap['internal.volume.set-content']['request']) {
    if (epoch !== this.epoch) throw lariatError('EPOCH_STALE', 'stale');
    const told = { event, fsType: fsType ?? '', uuid: uuid ?? '' };
    const { content } = this;
    const under = content.state === 'initialised' ? content.inside : undefined;
    const isUnder = inside === true || (event === 'disown' && under !== undefined);
    if (!isUnder) this.content = contentAfter(content, told);
    else if (content.state === 'initialised' && under !== undefined)
      this.content = { ...content, inside: contentAfter(under, told) };
    else throw lariatError('CONTENT_NOT_ENCRYPTED', 'no header');
  }

  private carryOut({ program, args, on, input }: Command): CommandEnd {
    const isMapped = args.some((arg) => arg.endsWith(MAPPED.path));
    const isLost = this.device === 'gone' || (this.device === 'another' && !isMapped);
    if (on !== undefined && isLost) throw new CommandUnknown('it was not begun');
    if (input !== undefined && args.join(' ').includes(input)) throw new Error('a secret is shown');
    this.commands.push(program === 'cryptsetup' ? `cryptsetup ${args[0]}` : program);
    const end = (code: number, stdout: Buffer = Buffer.alloc(0)): CommandEnd => ({
      ...{ code, stdout, stderr: code === 0 ? '' : 'it does not work' },
    });
    const isHere = this.device === 'here';
    switch (program) {
      case 'cryptsetup':
        return end(this.cryptsetup(args, input ?? ''));
      case 'dd':
        if (isMapped)
          return this.mapped.length === 1 && this.device !== 'gone' && this.device !== 'failing'
            ? end(0, Buffer.from(this.device === 'zeros' ? NOISE : this.inner))
            : end(1);
        // Past the header nothing but what lies under it was ever written.
        if (isHere && args.some((arg) => arg.startsWith('skip=')))
          return end(0, this.inner === NOISE ? Buffer.alloc(PROBED_BYTES) : Buffer.from(NOISE));
        if (this.device === 'gone' || this.device === 'failing') return end(1);
        if (this.device === 'zeros') return end(0, Buffer.alloc(PROBED_BYTES));
        return end(0, Buffer.from(isHere ? this.head : this.otherHead));
      case 'mkfs.ext4':
      case 'mkfs.xfs':
        return this.mkfs(program, args) ? end(0) : end(1);
      case 'e2fsck':
      case 'xfs_repair':
        return end(isHere && (isMapped ? this.inner !== NOISE : this.head.some(isSet)) ? 0 : 8);
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

  /** Answers its exit code. */
  private cryptsetup(args: readonly string[], input: string): number {
    const isHere = this.device === 'here';
    const last = args.at(-1) ?? '';
    const [verb = ''] = args;
    switch (verb) {
      case 'luksFormat': {
        this.formats.push(this.content.state);
        if (this.device === 'gone' || this.device === 'failing') return 4;
        const made = superblock('crypto_LUKS', args[args.indexOf('--uuid') + 1] ?? '');
        if (this.device === 'another') this.otherHead = made;
        if (isHere) {
          Object.assign(this, { head: made, passphrase: input, inner: NOISE });
        }
        return 0;
      }
      case 'open': {
        if (!isHere || this.head.toString('latin1', 0, 4) !== 'LUKS') return 4;
        if (input !== this.passphrase) return 2;
        if (args.includes('--test-passphrase')) return 0;
        if (this.mapped.length > 0) return 5;
        const uuid = this.head.toString('latin1', 168, 168 + 36);
        this.mapped = [{ name: last, uuid, standsOn: MAJOR_MINOR }];
        return 0;
      }
      case 'close': {
        const isUsed = this.mounted.some(({ majorMinor }) => majorMinor === MAPPED.majorMinor);
        if (this.mapped.every(({ name }) => name !== last)) return 4;
        if (isUsed) return 5;
        this.mapped = [];
        return 0;
      }
      default:
        return this.mapped.some(({ name }) => name === last) && input === this.passphrase ? 0 : 2;
    }
  }

  private mkfs(program: string, args: readonly string[]): boolean {
    this.formats.push(this.content.state);
    if (this.device === 'gone' || this.device === 'failing') return false;
    const fsType = program.slice('mkfs.'.length);
    const uuid = args.find((arg) => /[0-9a-f-]{36}$/.test(arg))?.slice(-36) ?? '';
    const made = superblock(fsType, uuid);
    if (args.includes(MAPPED.path)) {
      if (this.device !== 'zeros') this.inner = made;
      return true;
    }
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
    const below = this.mounted.find((mount) => mount.path === from)?.majorMinor ?? MAJOR_MINOR;
    const majorMinor = from === MAPPED.path ? MAPPED.majorMinor : below;
    this.mounted.push({
      ...{ path, majorMinor, root: from.replace('/dev', ''), options },
      ...{ fsType: 'ext4', source: from },
    });
    return true;
  }
}
