import { NbdClient } from '@lariat/cli';
import { delay, withDeadline } from '@lariat/kernel';
import { type RegisterHistory, findViolations } from '@lariat/testing';
import type { Random } from '../fuzz/support/random.js';
import { BLOCK_BYTES, decodeRegister, encodeRegister } from './register-blocks.js';

/** Where the volume can be reached now. */
export interface Attached {
  readonly epoch: number;
  readonly endpoint: string;
}

/** What the clients of one volume share. */
export interface RegisterWorld {
  readonly history: RegisterHistory;
  /** Offset in bytes of each register. */
  readonly offsets: readonly number[];
  find(): Promise<Attached | undefined>;
  /**
   * Attachments up to this epoch are being taken from their node, or were. What their engines still read there no
   * fence can stop, and it is nobody's promise: only what they acknowledge counts.
   */
  takenEpoch(): number;
  written(): void;
  /** Where no call may fail: what one has met. */
  failed?(error: unknown): void;
}

/** Above what an engine may hold a write for while a lost leg is not on record (20 s). */
const CALL_TIMEOUT_MS = 25_000;
const RECONNECT_MS = 100;

class Superseded extends Error {
  override readonly name = 'Superseded';
}

/** One user of the volume: reads and writes registers one after the other over a connection of its own. */
export class RegisterClient {
  private device: NbdClient | undefined;
  private epoch = 0;
  private stopped = false;
  private writes = 0;

  constructor(
    private readonly name: string,
    private readonly world: RegisterWorld,
    private readonly random: Random,
  ) {}

  async run(): Promise<void> {
    while (!this.stopped) {
      try {
        const device = this.device ?? (await this.connect());
        await withDeadline('a call', CALL_TIMEOUT_MS, this.call(device));
        await delay(this.random.below(12));
      } catch (error) {
        // The engine has died, moved, or does not answer: the call's outcome is in the history.
        if (!this.stopped) this.world.failed?.(error);
        this.disconnect();
        await delay(RECONNECT_MS);
      }
    }
  }

  /** Ends what is under way: its outcome is unknown then. */
  stop(): void {
    this.stopped = true;
    this.disconnect();
  }

  private async connect(): Promise<NbdClient> {
    const attached = await this.world.find();
    if (attached === undefined) throw new Error('not attached');
    const device = await NbdClient.connect(attached.endpoint);
    if (this.stopped) void device.close();
    this.epoch = attached.epoch;
    this.device = device;
    return device;
  }

  private async call(device: NbdClient): Promise<void> {
    const { history, offsets } = this.world;
    const register = this.random.below(offsets.length);
    const offset = offsets[register] ?? 0;
    if (this.random.below(2) === 0) {
      await history.read(this.name, register, async () => {
        const value = decodeRegister(await device.read(offset, BLOCK_BYTES));
        if (this.epoch <= this.world.takenEpoch()) throw new Superseded();
        return value;
      });
      return;
    }
    this.writes += 1;
    const value = `${this.name}.${this.writes}`;
    await history.write(this.name, register, value, () =>
      device.write(offset, encodeRegister(value)),
    );
    this.world.written();
  }

  private disconnect(): void {
    const { device } = this;
    this.device = undefined;
    // A frozen server would never confirm the end.
    if (device !== undefined) void device.close();
  }
}

/** Reads that begin after all writes that were acknowledged. */
export async function readAll(world: RegisterWorld, client: string): Promise<void> {
  const { history, offsets } = world;
  const attached = await world.find();
  const device = await NbdClient.connect(attached?.endpoint ?? '');
  for (const [register, offset] of offsets.entries())
    await history.read(client, register, async () =>
      decodeRegister(await device.read(offset, BLOCK_BYTES)),
    );
  await device.close();
}

/** What no order of the calls explains, register by register. */
export const violationsOf = (history: RegisterHistory): readonly string[] =>
  Array.from(findViolations(history.operations()), ([register, { ordered, obstacle, around }]) => {
    const calls = history.operations().get(register) ?? [];
    const near = calls
      .filter(({ beganAt }) => Math.abs(beganAt - obstacle.beganAt) < 400)
      .concat(calls.filter(({ value, kind }) => kind === 'write' && value === obstacle.value));
    return `register ${register}: ${ordered.length} of ${calls.length} calls fit, then not ${JSON.stringify(obstacle)}; at the same time ${JSON.stringify(around)}; near it ${JSON.stringify(near)}`;
  });
