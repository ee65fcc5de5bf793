import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { LariatError } from '@lariat/kernel';
import { AnaState } from '../nvme/log-page.js';
import type { Subsystem } from './subsystem.js';

export interface ListenAddress {
  readonly traddr: string;
  /** Decimal TCP port; '0' picks a free one. */
  readonly trsvcid: string;
}

/** One TCP server; the subsystems that have a listener on it share it. */
export class ListenPort {
  readonly id: number;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly users = new Map<Subsystem, ReadonlyMap<number, AnaState>>();
  private readonly defaults = new Map<Subsystem, AnaState>();
  private bound: ListenAddress;

  constructor(id: number, accept: (socket: Socket, port: ListenPort) => void) {
    this.id = id;
    this.bound = { traddr: '', trsvcid: '' };
    this.server = createServer({ noDelay: true }, (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      accept(socket, this);
    });
  }

  get address(): ListenAddress {
    return this.bound;
  }

  async listen(address: ListenAddress): Promise<void> {
    const port = Number(address.trsvcid);
    if (!/^\d{1,5}$/.test(address.trsvcid) || port > 65_535) {
      throw new LariatError({
        kind: 'invalid',
        code: 'NVMF_ADDRESS_INVALID',
        message: `trsvcid '${address.trsvcid}' is not a TCP port; give a number from 0 (any free port) to 65535`,
      });
    }
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (error: NodeJS.ErrnoException) =>
        reject(listenError(address, error)),
      );
      this.server.listen({ host: address.traddr, port }, () => resolve());
    });
    const { port: actual } = this.server.address() as AddressInfo;
    this.bound = { traddr: address.traddr, trsvcid: String(actual) };
  }

  has(subsystem: Subsystem): boolean {
    return this.users.has(subsystem);
  }

  get isUnused(): boolean {
    return this.users.size === 0;
  }

  subsystems(): readonly Subsystem[] {
    return [...this.users.keys()];
  }

  add(subsystem: Subsystem): void {
    this.users.set(subsystem, new Map());
  }

  remove(subsystem: Subsystem): void {
    this.users.delete(subsystem);
    this.defaults.delete(subsystem);
  }

  anaState(subsystem: Subsystem | undefined, groupId: number): AnaState {
    if (subsystem === undefined) return AnaState.optimized;
    return (
      this.users.get(subsystem)?.get(groupId) ?? this.defaults.get(subsystem) ?? AnaState.optimized
    );
  }

  /** Without a group, all groups of the subsystem take the state. */
  setAnaState(subsystem: Subsystem, state: AnaState, groupId: number | undefined): void {
    if (groupId === undefined) {
      this.defaults.set(subsystem, state);
      this.users.set(subsystem, new Map());
    } else {
      this.users.set(subsystem, new Map(this.users.get(subsystem)).set(groupId, state));
    }
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}

function listenError(address: ListenAddress, error: NodeJS.ErrnoException): LariatError {
  const where = `${address.traddr}:${address.trsvcid}`;
  if (error.code === 'EADDRINUSE') {
    return new LariatError({
      kind: 'conflict',
      code: 'NVMF_ADDRESS_IN_USE',
      message: `${where} is in use by another process; choose another port, or stop what listens there`,
      cause: error,
    });
  }
  return new LariatError({
    kind: 'invalid',
    code: 'NVMF_ADDRESS_NOT_AVAILABLE',
    message: `cannot listen on ${where} (${error.code ?? error.message}); use an address of this machine`,
    cause: error,
  });
}
