import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

/** Between a client and a server: what is shut lets no byte through either way, and nobody is told. */
export class Gate {
  private readonly sockets = new Set<Socket>();
  private isShut = false;

  private behind: URL | undefined;

  private constructor(private readonly server: Server) {}

  static async start(): Promise<Gate> {
    const server = createServer();
    const gate = new Gate(server);
    server.on('connection', (inside) => gate.connectOn(inside));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return gate;
  }

  get url(): string {
    return `nats://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** To be called before anybody comes. */
  leadTo(url: string): void {
    this.behind = new URL(url);
  }

  shut(): void {
    this.isShut = true;
    for (const socket of this.sockets) socket.pause();
  }

  open(): void {
    this.isShut = false;
    for (const socket of this.sockets) socket.resume();
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }

  private connectOn(inside: Socket): void {
    if (this.behind === undefined) inside.destroy();
    else this.join(inside, connect(Number(this.behind.port), this.behind.hostname));
  }

  private join(inside: Socket, outside: Socket): void {
    for (const [from, to] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      this.sockets.add(from);
      from.on('data', (data) => to.write(data));
      from.on('error', () => from.destroy());
      from.on('close', () => {
        this.sockets.delete(from);
        to.destroy();
      });
      if (this.isShut) from.pause();
    }
  }
}
