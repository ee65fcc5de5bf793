import { createServer, type Socket } from 'node:net';
import { QueuePair } from './host/queue-pair.js';
import type { Completion } from './nvme/entry.js';
import { type PduType, PduType as Type } from './pdu/constants.js';
import { PduEncoder } from './pdu/pdu-encoder.js';
import { PduParser } from './pdu/pdu-parser.js';
import { controllerRules } from './pdu/pdu-rules.js';
import type { Pdu } from './pdu/pdu.js';
import { type Cleanup, eventually } from './test-support.js';

/** The controller's end of a connection: it says what a test wants, and collects what the host sends. */
export class FakeController {
  readonly received: Pdu[] = [];
  readonly encoder: PduEncoder;
  closed = false;
  private readonly socket: Socket;
  private readonly parser: PduParser;

  constructor(socket: Socket) {
    this.socket = socket;
    this.encoder = new PduEncoder((bytes) => void socket.write(bytes));
    this.parser = new PduParser(controllerRules(8192, 1 << 20), {
      place: () => undefined,
      receive: (pdu) => void this.received.push(pdu),
    });
    socket.on('data', (chunk: Buffer) => this.parser.push(chunk));
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.closed = true;
    });
  }

  write(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** Answers the ICReq; `change` may spoil the ICResp. */
  async initialize(digests: boolean, change: (response: Buffer) => void = () => {}): Promise<void> {
    await this.next(Type.icReq);
    const parts: Buffer[] = [];
    new PduEncoder((bytes) => void parts.push(bytes)).initializeConnection(Type.icResp, {
      format: 0,
      alignment: 0,
      headerDigest: digests,
      dataDigest: digests,
      limit: 4096,
    });
    const response = Buffer.concat(parts);
    change(response);
    this.write(response);
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

export interface FakeLink {
  readonly controller: FakeController;
  readonly queue: QueuePair;
  readonly ready: Promise<void>;
  /** Why the host's queue has closed, once it has. */
  readonly closedFor: () => Error | undefined;
}

/** A host's queue that is connected to a fake controller, before its ICReq is answered. */
export async function fakeLink(cleanup: Cleanup, digests: boolean): Promise<FakeLink> {
  const controllers: FakeController[] = [];
  const server = createServer((socket) => void controllers.push(new FakeController(socket)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no address');
  let reason: Error | undefined;
  const { queue, ready } = QueuePair.open(
    {
      traddr: '127.0.0.1',
      trsvcid: String(bound.port),
      headerDigest: digests,
      dataDigest: digests,
      sizeEntries: 4,
    },
    (error) => {
      reason = error;
    },
  );
  // A test that spoils the handshake looks at `closedFor`.
  ready.catch(() => undefined);
  cleanup.add(async () => {
    queue.close(new Error('test over'));
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  await eventually('the connection', () => controllers.length > 0);
  const [controller] = controllers;
  if (controller === undefined) throw new Error('unreachable');
  return { controller, queue, ready, closedFor: () => reason };
}

/** What became of a command. */
export interface Outcome {
  completion?: Completion;
  lost?: Error;
}

export function submit(
  queue: QueuePair,
  entry: Buffer,
  fields: { readonly data?: Buffer; readonly readInto?: Buffer } = {},
): Outcome {
  const outcome: Outcome = {};
  queue.submit({
    entry,
    ...fields,
    completed: (completion) => {
      outcome.completion = completion;
    },
    lost: (error) => {
      outcome.lost = error;
    },
  });
  return outcome;
}
