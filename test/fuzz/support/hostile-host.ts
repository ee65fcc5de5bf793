import { connect, type Socket } from 'node:net';
import { delay } from '@lariat/kernel';
import { mutateBytes } from './mutate-bytes.js';
import { FABRICS_OPCODE, mutateHeader, PduType, sealPdu, splitPdus, type Digests } from './pdus.js';
import { Random } from './random.js';
import type { RecordedSession } from './recorded-session.js';

/** A valid PDU is answered, on a busy machine too; a changed one, and what follows it, may not be. */
const ANSWER_MS = { valid: 2_000, changed: 20 } as const;
const CONTROLLER_ID_OFFSET = 16;
const READ_OPCODE = 0x02;
const ASYNC_EVENT_OPCODE = 0x0c;
/** Of the recorded session's I/O queue. */
const QUEUE_ENTRIES = 32;

/** Plays a recorded session to a target with some of its PDUs changed, repeated, swapped, cut or left out. */
export async function playMutated(
  port: string,
  session: RecordedSession,
  random: Random,
): Promise<void> {
  const admin = new HostileConnection(port, session.digests, random);
  const bothQueues = random.chance(0.7);
  const victim = bothQueues ? random.below(2) : 0;
  const adminEnd = bothQueues ? session.admin.length - 3 : session.admin.length;
  await admin.play(session.admin.slice(0, adminEnd), victim === 0);
  if (bothQueues) {
    const io = new HostileConnection(port, session.digests, random, admin.controllerId);
    await io.play(session.io, victim === 1 || random.chance(0.3));
    if (random.chance(0.5)) await admin.play(session.admin.slice(adminEnd), random.chance(0.5));
    io.close();
  }
  admin.close();
}

/** Asks for `count` times 128 KiB, and reads nothing of it; the connections stay open until `close`. */
export async function readNothing(
  port: string,
  { admin, io, digests }: RecordedSession,
  count: number,
): Promise<{ readonly close: () => void }> {
  const random = new Random('read nothing');
  const adminQueue = new HostileConnection(port, digests, random);
  await adminQueue.play(admin.slice(0, -3), false);
  const ioQueue = new HostileConnection(port, digests, random, adminQueue.controllerId);
  await ioQueue.play(io, false);
  const read = io.find((pdu) => pdu[0] === PduType.capsuleCmd && pdu[8] === READ_OPCODE);
  if (read === undefined) throw new Error('the session has no read');
  ioQueue.pause();
  for (let sent = 0; sent < count; sent += 1) {
    const pdu = Buffer.from(read);
    pdu.writeUInt16LE(sent % QUEUE_ENTRIES, 10);
    pdu.writeUInt32LE(128 * 1024, 40);
    pdu.writeUInt16LE(31, 56);
    ioQueue.write(pdu);
    // Four at a time are within the queue, if the target carries them out meanwhile.
    if (sent % 4 === 3) await delay(2);
  }
  return {
    close: () => {
      adminQueue.close();
      ioQueue.close();
    },
  };
}

class HostileConnection {
  controllerId = 0xffff;
  private readonly socket: Socket;
  private received = Buffer.alloc(0);
  /** Transfer tags that the target has given, by command. */
  private readonly tags = new Map<number, number>();
  private answered: () => void = () => undefined;
  private closed = false;

  constructor(
    port: string,
    private readonly digests: Digests,
    private readonly random: Random,
    private readonly knownController?: number,
  ) {
    this.socket = connect({ host: '127.0.0.1', port: Number(port), noDelay: true });
    this.socket.on('data', (chunk: Buffer) => this.take(chunk));
    // The target closes when it has seen enough.
    this.socket.on('error', () => this.socket.destroy());
    this.socket.once('close', () => {
      this.closed = true;
      this.answered();
    });
  }

  close(): void {
    if (this.random.chance(0.5)) this.socket.destroy();
    else this.socket.end();
    setTimeout(() => this.socket.destroy(), 100).unref();
  }

  pause(): void {
    this.socket.pause();
  }

  write(pdu: Buffer): void {
    this.socket.write(pdu);
  }

  async play(pdus: readonly Buffer[], mutates: boolean): Promise<void> {
    const { random } = this;
    // Late ones are found only when the earlier ones are left alone.
    const chosen = mutates ? random.below(pdus.length) : -1;
    const order = [...pdus];
    const next = order[chosen + 1];
    const current = order[chosen];
    if (next !== undefined && current !== undefined && random.chance(0.1)) {
      order.splice(chosen, 2, next, current);
    }
    let patienceMs: number = ANSWER_MS.valid;
    for (const [index, pdu] of order.entries()) {
      if (this.closed) return;
      const changes = index === chosen || (mutates && random.chance(0.02));
      if (changes) patienceMs = ANSWER_MS.changed;
      await this.awaitTag(pdu, patienceMs);
      const answer = this.awaitAnswer(isAsyncEventRequest(pdu) ? 0 : patienceMs);
      this.send(pdu, changes);
      // Some of the others are sent while the target is busy.
      if (!changes || random.chance(0.8)) await answer;
    }
  }

  /** Data are sent when the target has asked for them. */
  private async awaitTag(pdu: Buffer, patienceMs: number): Promise<void> {
    if (pdu[0] !== PduType.h2cData || this.tags.has(pdu.readUInt16LE(8))) return;
    await this.awaitAnswer(patienceMs);
  }

  private send(original: Buffer, changes: boolean): void {
    const pdu = Buffer.from(original);
    if (pdu[0] === PduType.h2cData) {
      const command = pdu.readUInt16LE(8);
      pdu.writeUInt16LE(this.tags.get(command) ?? 0, 10);
      this.tags.delete(command);
    }
    if (isConnect(pdu) && this.knownController !== undefined) {
      pdu.writeUInt16LE(this.knownController, pdu.readUInt8(3) + CONTROLLER_ID_OFFSET);
    }
    sealPdu(pdu, this.digests);
    if (changes) this.sendMutated(pdu);
    else this.socket.write(pdu);
  }

  private sendMutated(pdu: Buffer): void {
    const { random, socket } = this;
    const seal = (changed: Buffer): Buffer => {
      if (random.chance(0.8)) sealPdu(changed, this.digests);
      return changed;
    };
    switch (random.below(10)) {
      case 0:
        socket.write(mutateBytes(pdu, random));
        return;
      case 1:
        // Left out.
        return;
      case 2:
        socket.write(Buffer.concat(Array.from({ length: random.pick([2, 3, 200]) }, () => pdu)));
        return;
      case 3:
        socket.write(pdu.subarray(0, random.below(pdu.length)));
        socket.end();
        return;
      case 4:
        socket.write(random.bytes(random.below(200)));
        return;
      case 5: {
        for (const byte of pdu.subarray(0, 100)) socket.write(Buffer.of(byte));
        socket.write(pdu.subarray(100));
        return;
      }
      case 6:
        socket.write(seal(mutateBytes(pdu, random, true)));
        return;
      default:
        socket.write(seal(mutateHeader(pdu, random)));
    }
  }

  /** Resolves with the next bytes, the end, or the passing of time. */
  private awaitAnswer(patienceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, patienceMs);
      this.answered = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private take(chunk: Buffer): void {
    const { pdus, rest } = splitPdus(Buffer.concat([this.received, chunk]));
    this.received = Buffer.from(rest);
    for (const pdu of pdus) {
      if (pdu[0] === PduType.r2t) this.tags.set(pdu.readUInt16LE(8), pdu.readUInt16LE(10));
      // The first completion is Connect's, and gives the controller's id.
      if (pdu[0] === PduType.capsuleResp && this.controllerId === 0xffff) {
        this.controllerId = pdu.readUInt16LE(8);
      }
    }
    if (pdus.length > 0) this.answered();
  }
}

function isConnect(pdu: Buffer): boolean {
  return pdu[0] === PduType.capsuleCmd && pdu[8] === FABRICS_OPCODE && pdu[12] === 1;
}

/** Answered when there is an event, if ever. */
function isAsyncEventRequest(pdu: Buffer): boolean {
  return pdu[0] === PduType.capsuleCmd && pdu[8] === ASYNC_EVENT_OPCODE;
}
