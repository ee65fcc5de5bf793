import type { Socket } from 'node:net';
import { type ListenAddress, ListenPort } from './listen-port.js';

/** The TCP servers of a target, by the address they were asked for. */
export class PortTable {
  private readonly accept: (socket: Socket, port: ListenPort) => void;
  private readonly ports = new Map<string, Promise<ListenPort>>();
  private nextId = 0;

  constructor(accept: (socket: Socket, port: ListenPort) => void) {
    this.accept = accept;
  }

  /** The server at this address, started when there is none; `claim` runs before anyone else can release it. */
  async acquire(address: ListenAddress, claim: (port: ListenPort) => void): Promise<ListenPort> {
    const known = address.trsvcid === '0' ? undefined : this.ports.get(keyOf(address));
    const opening = known ?? this.open(address);
    return opening.then((port) => {
      claim(port);
      return port;
    });
  }

  /** Closes the server once no subsystem uses it. */
  async release(port: ListenPort): Promise<void> {
    if (!port.isUnused) return;
    this.ports.delete(keyOf(port.address));
    await port.close();
  }

  private open(address: ListenAddress): Promise<ListenPort> {
    const port = new ListenPort((this.nextId += 1), this.accept);
    const opening = port.listen(address).then(
      () => {
        this.ports.set(keyOf(port.address), opening);
        return port;
      },
      (error: unknown) => {
        this.ports.delete(keyOf(address));
        throw error;
      },
    );
    if (address.trsvcid !== '0') this.ports.set(keyOf(address), opening);
    return opening;
  }
}

function keyOf(address: ListenAddress): string {
  return `${address.traddr} ${address.trsvcid}`;
}
