import type { Socket } from 'node:net';
import { MIB } from '@lariat/kernel';
import type { ByteBudget } from './byte-budget.js';
import type { ByteDevice } from './byte-device.js';
import { ByteDriver } from './byte-driver.js';
import { simpleReply, type ExportInfo } from './encode.js';
import { execute } from './execute.js';
import { NbdCommand, NbdError, NbdProtocolError } from './protocol.js';
import { nbdSession, type NbdRequest } from './session.js';

const MAX_REQUESTS = 128;
const MAX_BYTES = 64 * MIB;

/** One client: reads requests, runs them side by side, and answers each as it ends. */
export class NbdConnection {
  /** Resolves when the client has gone and its last request has ended. */
  readonly ended: Promise<void>;
  private readonly driver: ByteDriver;
  private requests = 0;
  private bytes = 0;
  private closed = false;
  private isCorked = false;
  private isHangingUp = false;
  private resolveEnded: () => void = () => undefined;

  constructor(
    private readonly socket: Socket,
    info: ExportInfo,
    private readonly device: ByteDevice,
    private readonly budget: ByteBudget,
    private readonly onError: (reason: unknown) => void,
  ) {
    this.ended = new Promise((resolve) => (this.resolveEnded = resolve));
    const session = nbdSession(info, {
      send: (bytes) => socket.write(bytes),
      request: (request) => this.start(request),
    });
    this.driver = new ByteDriver(session, () => this.isFull());
    socket.on('data', (chunk: Buffer) => this.feed(() => this.driver.push(chunk)));
    socket.on('drain', this.goOn);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A client may leave whenever it likes; the agent does so to see whether the server listens.
      if (error.code === 'EPIPE' || error.code === 'ECONNRESET') socket.destroy();
      else this.fail(error);
    });
    socket.on('close', () => {
      this.closed = true;
      this.budget.forget(this.goOn);
      this.settle();
    });
  }

  /** Takes no more requests; those under way are still answered. */
  finish(): void {
    this.socket.pause();
    if (this.requests === 0) this.socket.end();
    else void this.idle().then(() => this.socket.end());
  }

  private idleWaiters: (() => void)[] = [];

  private idle(): Promise<void> {
    if (this.requests === 0) return Promise.resolve();
    return new Promise((resolve) => this.idleWaiters.push(resolve));
  }

  private readonly goOn = (): void => {
    if (!this.closed) this.feed(() => this.driver.advance());
  };

  private feed(step: () => void): void {
    try {
      step();
    } catch (reason) {
      if (!(reason instanceof NbdProtocolError)) throw reason;
      this.fail(reason);
      return;
    }
    if (this.driver.isEnded) this.hangUp();
    // Bytes that nobody parses yet stay in the kernel, and in the client.
    else if (this.isFull()) this.pause();
    else this.socket.resume();
  }

  private hangUp(): void {
    if (this.isHangingUp) return;
    this.isHangingUp = true;
    // Not `end`: a socket that is paused does not see that its client has gone, and would stay for ever.
    void this.idle().then(() => this.socket.destroySoon());
  }

  private pause(): void {
    this.socket.pause();
    if (this.budget.isSpent) this.budget.whenFree(this.goOn);
  }

  private isFull(): boolean {
    return (
      this.budget.isSpent ||
      this.requests >= MAX_REQUESTS ||
      this.bytes >= MAX_BYTES ||
      this.socket.writableNeedDrain
    );
  }

  /** What a client that has hung up had in the queue has no one to answer to. */
  private readonly isWanted = (): boolean => !this.closed;

  private start(request: NbdRequest): void {
    const carries = request.type === NbdCommand.read || request.type === NbdCommand.write;
    const weight = carries ? request.lengthBytes : 0;
    this.requests += 1;
    this.bytes += weight;
    this.budget.take(weight);
    void execute(this.device, request, this.isWanted).then((outcome) => {
      this.requests -= 1;
      this.bytes -= weight;
      if (outcome.error !== NbdError.none && outcome.cause !== undefined) {
        this.onError(outcome.cause);
      }
      if (!this.closed) this.reply(request.cookie, outcome);
      this.settle();
      this.goOn();
      this.budget.give(weight);
    });
  }

  private reply(cookie: bigint, outcome: Awaited<ReturnType<typeof execute>>): void {
    const data = outcome.error === NbdError.none ? outcome.data : undefined;
    this.corkForThisTurn();
    this.socket.write(simpleReply(cookie, outcome.error));
    if (data !== undefined) this.socket.write(data);
  }

  /** All replies of one turn of the event loop go in one system call: at depth 32 that call was a quarter of the time. */
  private corkForThisTurn(): void {
    if (this.isCorked) return;
    this.isCorked = true;
    this.socket.cork();
    process.nextTick(() => {
      this.isCorked = false;
      this.socket.uncork();
    });
  }

  private fail(reason: unknown): void {
    this.onError(reason);
    this.socket.destroy();
  }

  private settle(): void {
    if (this.requests > 0) return;
    for (const resolve of this.idleWaiters.splice(0)) resolve();
    if (this.closed) this.resolveEnded();
  }
}
