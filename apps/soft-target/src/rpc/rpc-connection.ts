import type { Socket } from 'node:net';
import { dispatch, parseErrorAnswer, type DispatchDeps } from './dispatch.js';
import { JsonStreamParser, JsonSyntaxError } from './json-parser.js';
import { AnswerLost } from './rpc-error.js';

/** SPDK_JSONRPC_RECV_BUF_SIZE (lib/jsonrpc/jsonrpc_internal.h). */
const MAX_REQUEST_BYTES = 256 * 1024;
/** How many requests (or batches) of one client run at a time; more of them wait, and then their bytes in the socket. */
export const MAX_RUNNING = 1024;

/**
 * One client. Requests start in the order in which they come and run side by side; answers go out as they
 * are done. While the client does not read its answers, no more of its requests are carried out or read.
 */
export class RpcConnection {
  private readonly parser = new JsonStreamParser({ maxValueBytes: MAX_REQUEST_BYTES });
  /** Parsed and not started; no more than one chunk's, since the socket is paused while there are any. */
  private waiting: unknown[] = [];
  private readonly running = new Set<Promise<void>>();
  private reading = true;
  private isDraining = false;
  private fault: JsonSyntaxError | undefined;
  private whenIdle: (() => void)[] = [];

  constructor(
    private readonly socket: Socket,
    private readonly deps: DispatchDeps,
  ) {
    socket.on('data', (chunk) => this.receive(chunk));
    socket.on('drain', () => {
      this.isDraining = false;
      this.start();
    });
    socket.on('end', () => void this.finish());
    socket.on('close', () => {
      // Nobody is left to answer.
      this.waiting = [];
      this.settle();
    });
    socket.on('error', (error) => deps.log.info('rpc connection failed', { error: error.message }));
  }

  /** Reads no more requests; resolves when those that were read are answered. */
  async finish(): Promise<void> {
    this.reading = false;
    if (!this.isIdle) await new Promise<void>((resolve) => this.whenIdle.push(resolve));
    this.socket.destroySoon();
  }

  private get isIdle(): boolean {
    return this.running.size === 0 && this.waiting.length === 0;
  }

  private receive(chunk: Buffer): void {
    if (!this.reading) return;
    try {
      this.parser.push(chunk, (value) => this.waiting.push(value));
    } catch (error) {
      if (!(error instanceof JsonSyntaxError)) throw error;
      // There is no point to resync at in a stream of JSON, so the connection goes.
      this.fault = error;
      this.reading = false;
    }
    this.start();
  }

  private start(): void {
    while (this.waiting.length > 0 && this.running.size < MAX_RUNNING && !this.isDraining) {
      this.run(this.waiting.shift());
    }
    if (this.waiting.length > 0) this.socket.pause();
    else if (!this.isDraining) this.socket.resume();
    if (this.fault !== undefined && this.waiting.length === 0) this.refuse(this.fault);
    this.settle();
  }

  private run(value: unknown): void {
    const task = dispatch(value, this.deps)
      .then((answer) => {
        if (answer !== undefined) this.send(answer);
      })
      .catch((error: unknown) => {
        if (!(error instanceof AnswerLost)) throw error;
        this.socket.destroy();
      })
      .then(() => {
        this.running.delete(task);
        this.start();
      });
    this.running.add(task);
  }

  private refuse(fault: JsonSyntaxError): void {
    this.fault = undefined;
    this.deps.log.warning('rpc request is not JSON', { error: fault.message });
    this.send(parseErrorAnswer());
    void this.finish();
  }

  private settle(): void {
    if (this.isIdle) for (const resolve of this.whenIdle.splice(0)) resolve();
  }

  private send(answer: string): void {
    if (!this.socket.writable) return;
    if (this.socket.write(`${answer}\n`)) return;
    this.isDraining = true;
    this.socket.pause();
  }
}
