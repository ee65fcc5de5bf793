import type { Socket } from 'node:net';
import { JsonDocumentSplitter, JsonFramingError } from '@lariat/spdk';
import { dispatch, parseErrorAnswer, type DispatchDeps } from './dispatch.js';

/** SPDK_JSONRPC_RECV_BUF_SIZE (lib/jsonrpc/jsonrpc_internal.h). */
const MAX_REQUEST_BYTES = 256 * 1024;

/**
 * One client. Requests start in the order in which they come and run side by side; answers go out as they
 * are done. While the client does not read its answers, no more of its requests are read.
 */
export class RpcConnection {
  private readonly splitter = new JsonDocumentSplitter({ maxDocumentBytes: MAX_REQUEST_BYTES });
  private readonly running = new Set<Promise<void>>();
  private reading = true;

  constructor(
    private readonly socket: Socket,
    private readonly deps: DispatchDeps,
  ) {
    socket.on('data', (chunk) => this.receive(chunk));
    socket.on('drain', () => socket.resume());
    socket.on('end', () => void this.finish());
    socket.on('error', (error) => deps.log.info('rpc connection failed', { error: error.message }));
  }

  /** Reads no more requests; resolves when those under way are answered. */
  async finish(): Promise<void> {
    this.reading = false;
    await Promise.all(this.running);
    this.socket.destroySoon();
  }

  private receive(chunk: Buffer): void {
    if (!this.reading) return;
    try {
      this.splitter.push(chunk, (document) => this.accept(document));
    } catch (error) {
      if (!(error instanceof JsonFramingError || error instanceof SyntaxError)) throw error;
      // There is no point to resync at in a stream of JSON, so the connection goes.
      this.deps.log.warning('rpc request is not JSON', { error: error.message });
      this.send(parseErrorAnswer());
      void this.finish();
    }
  }

  private accept(document: Buffer): void {
    const value: unknown = JSON.parse(document.toString('utf8'));
    const task = dispatch(value, this.deps).then((answer) => {
      if (answer !== undefined) this.send(answer);
      this.running.delete(task);
    });
    this.running.add(task);
  }

  private send(answer: string): void {
    if (!this.socket.writable) return;
    if (!this.socket.write(`${answer}\n`)) this.socket.pause();
  }
}
