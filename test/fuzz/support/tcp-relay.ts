import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Sees the bytes of one connection, and says what goes on in their place. */
export interface RelayedConnection {
  toTarget(chunk: Buffer): readonly Buffer[];
  toHost(chunk: Buffer): readonly Buffer[];
  /** True when the connection is to be cut after what was given. */
  readonly isCut?: boolean;
}

/** A TCP relay to a port of this machine. */
export class TcpRelay {
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly port: string,
  ) {}

  static async start(targetPort: string, accept: () => RelayedConnection): Promise<TcpRelay> {
    const sockets: Socket[] = [];
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no TCP address');
    const relay = new TcpRelay(server, String(address.port));
    server.on('connection', (host) => {
      const target = connect({ host: '127.0.0.1', port: Number(targetPort), noDelay: true });
      sockets.push(host, target);
      const connection = accept();
      relay.join(host, target, connection, (chunk) => connection.toTarget(chunk));
      relay.join(target, host, connection, (chunk) => connection.toHost(chunk));
    });
    return relay;
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private join(
    from: Socket,
    to: Socket,
    connection: RelayedConnection,
    through: (chunk: Buffer) => readonly Buffer[],
  ): void {
    this.sockets.add(from);
    from.on('data', (chunk: Buffer) => {
      for (const part of through(chunk)) to.write(part);
      if (connection.isCut === true) from.destroy();
    });
    from.on('error', () => from.destroy());
    from.once('close', () => {
      this.sockets.delete(from);
      to.destroy();
    });
  }
}
