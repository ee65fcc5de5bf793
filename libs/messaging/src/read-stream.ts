import { delay } from '@lariat/kernel';
import { type JetStreamManager, type StoredMsg, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { isNatsAway } from './nats-away.js';

export interface ReadStreamOptions {
  /** Of what is read, with NATS wildcards. */
  readonly subject: string;
  /** Those whose number is greater. */
  readonly after: number;
  /** False: what is kept, then the end. True: goes on with what comes. */
  readonly follow: boolean;
  readonly signal?: AbortSignal;
}

/** Messages that one reader of a section is to find, one after the other, and the numbers that it goes through at most. */
const SECTION_MESSAGES = 32;
const SECTION_NUMBERS_MAX = 1_024;
/** Sections that are read side by side, once it is known how rare the messages are. */
const AHEAD = 16;
/** What is heard may be stored a moment later. */
const STORED_MS = 10;
const LOOK_AGAIN_MS = 500;

/**
 * What a stream has, oldest first, without a consumer: who may only read can make none, since JetStream delivers to
 * whatever subject a consumer names.
 */
export async function* readStream(
  connection: NatsConnection,
  stream: string,
  options: ReadStreamOptions,
): AsyncGenerator<StoredMsg> {
  const manager = await jetstreamManager(connection, { checkAPI: false });
  const wake = options.follow ? new Wake(connection, options) : undefined;
  let after = options.after;
  try {
    for (;;) {
      const end = await endOf(manager, stream, wake);
      // A stream that was lost and made anew counts from 1 again.
      if (wake !== undefined && end !== undefined && end.last < after) after = 0;
      if (end !== undefined && end.last > after) {
        for await (const message of readSpan(manager, stream, options.subject, {
          first: Math.max(after + 1, end.first),
          last: end.last,
        })) {
          if (options.signal?.aborted === true) return;
          yield message;
        }
        after = end.last;
      }
      if (wake === undefined || !(await wake.next())) return;
    }
  } finally {
    wake?.close();
  }
}

/** Where a stream begins and ends; who follows it waits while NATS is away. */
async function endOf(
  manager: JetStreamManager,
  stream: string,
  wake: Wake | undefined,
): Promise<Span | undefined> {
  try {
    const { state } = await manager.streams.info(stream);
    return { first: state.first_seq, last: state.last_seq };
  } catch (error) {
    if (wake === undefined || !isNatsAway(error)) throw error;
    return undefined;
  }
}

interface Span {
  readonly first: number;
  readonly last: number;
}

interface Section extends Span {
  readonly messages: readonly StoredMsg[];
  /** From the section on there is no other message before this number, which may be far beyond its end. */
  readonly next: number;
}

/**
 * The answer to the last question of a section tells of what lies behind it too, so a rare subject is gone through from one
 * message to the next, while of a common one many sections are read side by side.
 */
async function* readSpan(
  manager: JetStreamManager,
  stream: string,
  subject: string,
  { first, last }: Span,
): AsyncGenerator<StoredMsg> {
  const reading: Promise<Section>[] = [];
  let next = first;
  let ahead = 1;
  let numbers = SECTION_MESSAGES;
  while (next <= last || reading.length > 0) {
    for (; reading.length < ahead && next <= last; next += numbers) {
      const section = readSection(manager, stream, subject, {
        first: next,
        last: Math.min(last, next + numbers - 1),
      });
      // Awaited in its turn.
      section.catch(() => undefined);
      reading.push(section);
    }
    const read = await reading.shift();
    if (read === undefined) return;
    yield* read.messages;
    const isFarAhead = read.next - read.last > numbers;
    ahead = isFarAhead ? 1 : Math.min(AHEAD, 2 * ahead);
    numbers = numbersFor(read);
    next = Math.max(next, read.next);
  }
}

/** In which as many messages will be found as a reader is to find, if they go on to come as in the section. */
function numbersFor({ first, next, messages }: Section): number {
  const apart = (next - first) / Math.max(1, messages.length);
  return Math.min(SECTION_NUMBERS_MAX, Math.ceil(SECTION_MESSAGES * apart));
}

async function readSection(
  { streams }: JetStreamManager,
  stream: string,
  subject: string,
  { first, last }: Span,
): Promise<Section> {
  const messages: StoredMsg[] = [];
  let next = first;
  while (next <= last) {
    const query = { seq: next, next_by_subj: subject };
    const message = await streams.getMessage(stream, query);
    if (message === null) {
      next = Number.MAX_SAFE_INTEGER;
      break;
    }
    if (message.seq > last) {
      next = message.seq;
      break;
    }
    messages.push(message);
    next = message.seq + 1;
  }
  return { first, last, messages, next };
}

/** Tells a follower when to look again: something was said, or some time has gone. */
class Wake {
  private readonly subscription;
  private isHeard = false;
  private wake: (() => void) | undefined;

  constructor(
    connection: NatsConnection,
    private readonly options: ReadStreamOptions,
  ) {
    this.subscription = connection.subscribe(options.subject, {
      callback: () => {
        this.isHeard = true;
        this.wake?.();
      },
    });
    options.signal?.addEventListener('abort', () => this.wake?.(), { once: true });
  }

  /** False: it is over. */
  async next(): Promise<boolean> {
    const { signal } = this.options;
    if (!this.isHeard && signal?.aborted !== true) await this.pause(LOOK_AGAIN_MS);
    if (this.isHeard && signal?.aborted !== true) {
      this.isHeard = false;
      await delay(STORED_MS);
    }
    return signal?.aborted !== true && !this.subscription.isClosed();
  }

  close(): void {
    this.subscription.unsubscribe();
  }

  private async pause(limitMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      timer = setTimeout(resolve, limitMs);
    });
    clearTimeout(timer);
    this.wake = undefined;
  }
}
