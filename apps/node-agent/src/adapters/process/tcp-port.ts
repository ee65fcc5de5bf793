import { connect, createServer } from 'node:net';

/** A machine in reach answers sooner; the engine's watch waits for this. */
const ANSWER_MS = 150;

/** Tries to listen: the port that it got, or undefined when the address is in use. */
export function probePort(traddr: string, port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen({ host: traddr, port, exclusive: true }, () => {
      const address = server.address();
      const got = typeof address === 'object' && address !== null ? address.port : port;
      server.close(() => resolve(got));
    });
  });
}

/** Whether the machine answers that nobody listens there. A silence is no: it may be on its way. */
export function isRefused(traddr: string, trsvcid: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: traddr, port: Number(trsvcid), timeout: ANSWER_MS });
    const end = (refused: boolean): void => {
      socket.destroy();
      resolve(refused);
    };
    socket.once('connect', () => end(false));
    socket.once('timeout', () => end(false));
    socket.once('error', ({ code }: NodeJS.ErrnoException) => end(code === 'ECONNREFUSED'));
  });
}
