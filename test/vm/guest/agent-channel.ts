import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { randomInt } from 'node:crypto';

/** What QEMU's agent answered in place of a result. */
export class GuestAgentError extends Error {
  override readonly name = 'GuestAgentError';
}

interface Answer {
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
}

/** JSON lines to QEMU's agent in the guest, which takes one at a time. */
export class AgentChannel {
  private readonly waiting: {
    resolve: (answer: Answer) => void;
    reject: (error: Error) => void;
  }[] = [];
  private received = '';
  private lane: Promise<unknown> = Promise.resolve();

  private constructor(private readonly socket: Socket) {
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.take(text));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      const closed = new Error('the guest is gone: its channel was closed');
      for (const { reject } of this.waiting.splice(0)) reject(closed);
    });
  }

  /** Resolves when the agent in the guest has answered. */
  static async open(path: string, timeoutMs: number): Promise<AgentChannel> {
    const socket = connect(path);
    await once(socket, 'connect');
    const channel = new AgentChannel(socket);
    try {
      await channel.synchronise(timeoutMs);
    } catch (error) {
      channel.close();
      throw error;
    }
    return channel;
  }

  close(): void {
    this.socket.destroy();
  }

  request(execute: string, args: object): Promise<unknown> {
    const answer = this.lane.then(() => this.ask(execute, args));
    this.lane = answer.catch(() => undefined);
    return answer;
  }

  /** Answers that an earlier client did not wait for are passed over. */
  private async synchronise(timeoutMs: number): Promise<void> {
    const id = randomInt(2 ** 31);
    const timer = setTimeout(() => {
      this.socket.destroy();
    }, timeoutMs);
    try {
      // What a client before this one left half said is ended by it.
      this.socket.write('\n');
      let answer = await this.ask('guest-sync', { id });
      while (answer !== id) answer = await this.next();
    } finally {
      clearTimeout(timer);
    }
  }

  private async ask(execute: string, args: object): Promise<unknown> {
    const answer = this.next();
    this.socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    return answer;
  }

  private async next(): Promise<unknown> {
    if (this.socket.destroyed) throw new Error('the guest is gone: its channel was closed');
    const { error, return: result } = await new Promise<Answer>((resolve, reject) => {
      this.waiting.push({ resolve, reject });
    });
    if (error !== undefined) throw new GuestAgentError(error.desc);
    return result;
  }

  private take(text: string): void {
    const lines = (this.received + text).split('\n');
    this.received = lines.pop() ?? '';
    for (const line of lines)
      if (line.trim() !== '') this.waiting.shift()?.resolve(JSON.parse(line) as Answer);
  }
}
