import { connect, createServer, type Server, type Socket } from 'node:net';
import type { BlockDevice } from './block-device.js';
import { NvmeTcpController } from './host/controller.js';
import type { NvmeTcpHostOptions } from './host/host-options.js';
import type { HostNamespace } from './host/namespace.js';
import { MemoryBlockDevice } from './memory-block-device.js';
import { type PduType, PduType as Type } from './pdu/constants.js';
import { PduEncoder } from './pdu/pdu-encoder.js';
import { PduParser } from './pdu/pdu-parser.js';
import { HOST_RULES } from './pdu/pdu-rules.js';
import type { Pdu } from './pdu/pdu.js';
import type { ListenAddress } from './target/listen-port.js';
import type { NvmeTcpTargetOptions } from './target/options.js';
import type { Subsystem } from './target/subsystem.js';
import type { SubsystemOptions } from './target/subsystem-types.js';
import { NvmeTcpTarget } from './target/target.js';

export const SUBSYSTEM_NQN = 'nqn.2024-01.io.lariat:subsystem';
export const HOST_NQN = 'nqn.2024-01.io.lariat:host';

const DEADLINE_MS = 10_000;

/** Resolves once `holds`; fails with `what` after a deadline. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + DEADLINE_MS;
  while (!holds()) {
    if (performance.now() > deadlineMs) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The value of the first event, or a failure after a deadline. */
export function nextEvent<T>(subscribe: (listener: (event: T) => void) => () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('waited in vain for an event')), DEADLINE_MS);
    const stop = subscribe((event) => {
      clearTimeout(timer);
      stop();
      resolve(event);
    });
  });
}

/** Everything that was opened in a test, closed in reverse order. */
export class Cleanup {
  private readonly actions: (() => Promise<void>)[] = [];

  add(action: () => Promise<void>): void {
    this.actions.push(action);
  }

  async run(): Promise<void> {
    for (const action of this.actions.splice(0).toReversed()) await action();
  }
}

export interface Rig {
  readonly target: NvmeTcpTarget;
  readonly subsystem: Subsystem;
  readonly address: ListenAddress;
  readonly device: BlockDevice;
}

export interface RigOptions {
  readonly device?: BlockDevice;
  readonly target?: NvmeTcpTargetOptions;
  readonly subsystem?: Partial<SubsystemOptions>;
  readonly trsvcid?: string;
}

/** A target with one subsystem and one namespace on a loopback port. */
export async function startTarget(cleanup: Cleanup, options: RigOptions = {}): Promise<Rig> {
  const target = new NvmeTcpTarget(options.target);
  cleanup.add(() => target.close());
  const subsystem = target.addSubsystem({
    nqn: SUBSYSTEM_NQN,
    allowAnyHost: true,
    ...options.subsystem,
  });
  const device = options.device ?? new MemoryBlockDevice({ sizeBytes: 8 << 20 });
  subsystem.addNamespace({ device, nsid: 1 });
  const address = await subsystem.addListener({
    traddr: '127.0.0.1',
    trsvcid: options.trsvcid ?? '0',
  });
  return { target, subsystem, address, device };
}

export async function connectHost(
  cleanup: Cleanup,
  address: ListenAddress,
  options: Partial<NvmeTcpHostOptions> = {},
): Promise<NvmeTcpController> {
  const controller = await NvmeTcpController.connect({
    ...address,
    subnqn: SUBSYSTEM_NQN,
    hostnqn: HOST_NQN,
    reconnectDelayMs: 20,
    ...options,
  });
  cleanup.add(() => controller.close());
  return controller;
}

/** The one namespace of a controller. */
export function onlyNamespace(controller: NvmeTcpController): HostNamespace {
  const [namespace] = controller.namespaces();
  if (namespace === undefined) throw new Error('the controller has no namespace');
  return namespace;
}

/** A memory device whose writes can be held back, and that records which have begun and ended. */
export class GatedDevice extends MemoryBlockDevice {
  begun = 0;
  ended = 0;
  flushes = 0;
  private gate: { readonly opened: Promise<void>; readonly open: () => void } | undefined;

  hold(): void {
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.gate = { opened, open };
  }

  release(): void {
    this.gate?.open();
    this.gate = undefined;
  }

  override async write(offsetBytes: number, data: Buffer): Promise<void> {
    this.begun += 1;
    await this.gate?.opened;
    await super.write(offsetBytes, data);
    this.ended += 1;
  }

  override async flush(): Promise<void> {
    this.flushes += 1;
  }
}

/** A TCP relay whose connections can be cut, refused and tampered with. */
export class Relay {
  address: ListenAddress = { traddr: '127.0.0.1', trsvcid: '0' };
  /** Sees each chunk on its way to the host; may return another one. */
  toHost: (chunk: Buffer) => Buffer = (chunk) => chunk;
  /** `onward` sends to the target on the connection that the chunk came by. */
  toTarget: (chunk: Buffer, onward: (chunk: Buffer) => void) => Buffer = (chunk) => chunk;
  refusing = false;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  constructor(to: () => ListenAddress) {
    this.server = createServer((host) => {
      if (this.refusing) {
        host.destroy();
        return;
      }
      const address = to();
      const target = connect({ host: address.traddr, port: Number(address.trsvcid) });
      this.join(host, target, (chunk) => this.toTarget(chunk, (held) => void target.write(held)));
      this.join(target, host, (chunk) => this.toHost(chunk));
    });
  }

  async start(cleanup: Cleanup): Promise<ListenAddress> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    cleanup.add(async () => {
      this.cut();
      await new Promise<void>((resolve) => this.server.close(() => resolve()));
    });
    const bound = this.server.address();
    if (bound === null || typeof bound === 'string') throw new Error('no address');
    this.address = { traddr: '127.0.0.1', trsvcid: String(bound.port) };
    return this.address;
  }

  get connections(): number {
    return this.sockets.size / 2;
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  private join(from: Socket, to: Socket, through: (chunk: Buffer) => Buffer): void {
    this.sockets.add(from);
    from.on('data', (chunk: Buffer) => to.write(through(chunk)));
    from.on('error', () => from.destroy());
    from.once('close', () => {
      this.sockets.delete(from);
      to.destroy();
    });
  }
}

/** A host that sends whatever a test wants, and collects the PDUs that come back. */
export class RawHost {
  readonly received: Pdu[] = [];
  readonly encoder: PduEncoder;
  closed = false;
  private readonly socket: Socket;
  private readonly parser: PduParser;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.encoder = new PduEncoder((bytes) => socket.write(bytes));
    this.parser = new PduParser(HOST_RULES, {
      place: () => undefined,
      receive: (pdu) => void this.received.push(pdu),
    });
    socket.on('data', (chunk: Buffer) => this.parser.push(chunk));
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.closed = true;
    });
  }

  static async connect(cleanup: Cleanup, address: ListenAddress): Promise<RawHost> {
    const socket = connect({ host: address.traddr, port: Number(address.trsvcid), noDelay: true });
    cleanup.add(async () => void socket.destroy());
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve());
      socket.once('error', reject);
    });
    return new RawHost(socket);
  }

  write(bytes: Buffer): void {
    if (!this.closed) this.socket.write(bytes);
  }

  destroy(): void {
    this.socket.destroy();
  }

  async initialize(digests = false): Promise<void> {
    this.encoder.initializeConnection(Type.icReq, {
      format: 0,
      alignment: 0,
      headerDigest: digests,
      dataDigest: digests,
      limit: 0,
    });
    await this.next(Type.icResp);
    this.encoder.configure(digests, digests, 0);
    this.parser.enableDigests(digests, digests);
  }

  /** Takes the first PDU of this type out of what was received. */
  async next(type: PduType): Promise<Pdu> {
    await eventually(`a PDU of type ${type}`, () => this.received.some((pdu) => pdu.type === type));
    const index = this.received.findIndex((pdu) => pdu.type === type);
    const [pdu] = this.received.splice(index, 1);
    if (pdu === undefined) throw new Error('unreachable');
    return pdu;
  }
}
