import { createConnection, type Socket } from 'node:net';
import { LariatError } from '@lariat/kernel';
import { AnswerFormatError, parseAnswer, type Answer } from './answer.js';
import { JsonDocumentSplitter, JsonFramingError } from './framing.js';
import { noCallObserver, type CallObserver, type CallOutcome } from './observer.js';
import { SpdkConnectionCode, SpdkError } from './spdk-error.js';

export interface SpdkClientOptions {
  /** The target's `--rpc-socket`, e.g. /var/tmp/spdk.sock. */
  readonly socketPath: string;
  /** Default deadline of a call; 30 000 unless told. */
  readonly requestTimeoutMs?: number;
  /** 2 000 unless told. */
  readonly connectTimeoutMs?: number;
  /** SPDK itself never answers more than 32 MiB (lib/jsonrpc/jsonrpc_internal.h). */
  readonly maxAnswerBytes?: number;
  readonly observer?: CallObserver;
}

export interface CallOptions {
  readonly timeoutMs?: number;
}

/** What the typed methods need of a connection; a test may give its own. */
export interface RpcCaller {
  call(method: string, params?: object, options?: CallOptions): Promise<unknown>;
}

interface PendingCall {
  readonly method: string;
  readonly line: string;
  readonly settle: (outcome: CallOutcome) => void;
  /** False while it waits in our own queue: such a call has certainly not been carried out. */
  sent: boolean;
}

const DEFAULT_REQUEST_TIMEOUT_MS = 30_000;
const DEFAULT_CONNECT_TIMEOUT_MS = 2_000;
const DEFAULT_MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/**
 * One persistent connection to an SPDK target; calls are pipelined and answered in any order. It does not
 * reconnect: its owner learns of the loss from `closed`, and decides, since after a loss the target may be
 * another process with other objects.
 */
export class SpdkClient implements RpcCaller {
  readonly socketPath: string;
  /** Settles when the connection has ended, with the reason; undefined after `close()`. */
  readonly closed: Promise<LariatError | undefined>;
  private readonly requestTimeoutMs: number;
  private readonly observer: CallObserver;
  private readonly splitter: JsonDocumentSplitter;
  private readonly pending = new Map<number, PendingCall>();
  /** Ids of calls that were given up; their late answers are dropped. */
  private readonly abandoned = new Set<number>();
  private readonly queue: number[] = [];
  private nextId = 1;
  private ended = false;
  private resolveClosed: (reason: LariatError | undefined) => void = () => undefined;

  private constructor(
    private readonly socket: Socket,
    options: SpdkClientOptions,
  ) {
    this.socketPath = options.socketPath;
    this.requestTimeoutMs = options.requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS;
    this.observer = options.observer ?? noCallObserver;
    this.splitter = new JsonDocumentSplitter({
      maxDocumentBytes: options.maxAnswerBytes ?? DEFAULT_MAX_ANSWER_BYTES,
    });
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
    socket.on('data', (chunk) => this.receive(chunk));
    socket.on('drain', () => this.flushQueue());
    socket.on('error', (error) => this.end(`the connection failed: ${error.message}`));
    socket.on('close', () => this.end('the target closed the connection'));
  }

  /** Rejects with kind `unavailable` when there is no target at the socket. */
  static async connect(options: SpdkClientOptions): Promise<SpdkClient> {
    const { socketPath, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS } = options;
    const socket = createConnection({ path: socketPath });
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`no answer within ${connectTimeoutMs} ms`)),
          connectTimeoutMs,
        );
        socket.once('connect', () => {
          clearTimeout(timer);
          socket.removeListener('error', reject);
          resolve();
        });
        socket.once('error', (error) => {
          clearTimeout(timer);
          reject(error);
        });
      });
    } catch (cause) {
      socket.destroy();
      throw new LariatError({
        kind: 'unavailable',
        code: SpdkConnectionCode.notConnected,
        message: `no SPDK target answers at ${socketPath} (${(cause as Error).message}); is it running?`,
        cause,
      });
    }
    return new SpdkClient(socket, options);
  }

  get isOpen(): boolean {
    return !this.ended;
  }

  /** Calls made and not yet settled. */
  get pendingCalls(): number {
    return this.pending.size;
  }

  /**
   * Sends one request and gives its `result`. Rejects with SpdkError for SPDK's own errors, `timeout` when the
   * outcome is unknown (deadline, or the connection lost after sending), `unavailable` when it was never sent.
   */
  call(method: string, params?: object, options: CallOptions = {}): Promise<unknown> {
    const id = this.nextId++;
    const observation = this.observer.onCall({ method, params, id, socketPath: this.socketPath });
    return new Promise((resolve, reject) => {
      const settle = (outcome: CallOutcome): void => {
        clearTimeout(timer);
        this.pending.delete(id);
        observation.end(outcome);
        if ('error' in outcome) reject(outcome.error);
        else resolve(outcome.result);
      };
      const timeoutMs = options.timeoutMs ?? this.requestTimeoutMs;
      const timer = setTimeout(() => this.expire(id, timeoutMs), timeoutMs);
      if (this.ended) {
        settle({ error: this.notSent(method) });
        return;
      }
      const request = { jsonrpc: '2.0', id, method, ...(params === undefined ? {} : { params }) };
      this.pending.set(id, { method, line: JSON.stringify(request), settle, sent: false });
      this.queue.push(id);
      this.flushQueue();
    });
  }

  /** Ends the connection; what is pending is rejected as if it were lost. */
  close(): void {
    this.end(undefined);
  }

  /**
   * Requests wait here, not in the socket's buffer, while the target does not read: so that those never
   * handed to the kernel are known to be unsent.
   */
  private flushQueue(): void {
    while (!this.ended && !this.socket.writableNeedDrain) {
      const id = this.queue.shift();
      if (id === undefined) return;
      const call = this.pending.get(id);
      if (call === undefined) continue;
      call.sent = true;
      this.socket.write(call.line);
    }
  }

  private receive(chunk: Buffer): void {
    try {
      this.splitter.push(chunk, (document) => this.accept(parseAnswer(document)));
    } catch (error) {
      if (!(error instanceof JsonFramingError || error instanceof AnswerFormatError)) throw error;
      this.end(
        `the target sent what is not JSON-RPC: ${error.message}`,
        SpdkConnectionCode.protocolError,
      );
    }
  }

  private accept(answer: Answer): void {
    if (answer.kind === 'orphan-error') {
      throw new AnswerFormatError(
        `it could not read a request: ${answer.message} (${answer.rpcCode})`,
      );
    }
    const call = this.pending.get(answer.id);
    if (call === undefined) {
      if (!this.abandoned.delete(answer.id))
        throw new AnswerFormatError(`an answer to unknown id ${answer.id}`);
      return;
    }
    if (answer.kind === 'result') call.settle({ result: answer.result });
    else call.settle({ error: new SpdkError(call.method, answer.rpcCode, answer.message) });
  }

  private expire(id: number, timeoutMs: number): void {
    const call = this.pending.get(id);
    if (call === undefined) return;
    if (!call.sent) {
      call.settle({ error: this.notSent(call.method) });
      return;
    }
    this.abandoned.add(id);
    call.settle({
      error: new LariatError({
        kind: 'timeout',
        code: SpdkConnectionCode.deadlineExceeded,
        message: `${call.method} was not answered within ${timeoutMs} ms; probe before trying again`,
        details: { method: call.method, timeoutMs },
      }),
    });
  }

  private end(
    reason: string | undefined,
    code: SpdkConnectionCode = SpdkConnectionCode.connectionLost,
  ): void {
    if (this.ended) return;
    this.ended = true;
    this.socket.destroy();
    const cause = reason ?? 'the connection was closed by this process';
    for (const call of [...this.pending.values()]) {
      call.settle({
        error: call.sent ? outcomeUnknown(call.method, cause, code) : this.notSent(call.method),
      });
    }
    this.resolveClosed(
      reason === undefined
        ? undefined
        : new LariatError({
            kind: 'unavailable',
            code,
            message: `lost the SPDK target at ${this.socketPath}: ${reason}`,
          }),
    );
  }

  private notSent(method: string): LariatError {
    return new LariatError({
      kind: 'unavailable',
      code: SpdkConnectionCode.notConnected,
      message: `${method} was not sent: the SPDK target at ${this.socketPath} is not connected or does not read`,
      details: { method },
    });
  }
}

function outcomeUnknown(method: string, cause: string, code: SpdkConnectionCode): LariatError {
  return new LariatError({
    kind: 'timeout',
    code,
    message: `the outcome of ${method} is unknown: ${cause}; probe before trying again`,
    details: { method },
  });
}
