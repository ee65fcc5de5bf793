/** A value that a block holds; `INITIAL` is what it holds before the first write. */
export type RegisterValue = string;
export const INITIAL: RegisterValue = 'initial';

/**
 * One call on one register. `beganAt` and `endedAt` are positions in the order of all begins and ends. A null
 * `endedAt` says that the outcome is unknown: a write may take effect at any later time, or never.
 */
export interface RegisterOperation {
  readonly id: number;
  readonly kind: 'read' | 'write';
  /** What was written, or what was read. */
  readonly value: RegisterValue;
  readonly beganAt: number;
  readonly endedAt: number | null;
  /** Whose call it was, for the person who reads a failed check. */
  readonly client: string;
}

/**
 * Records calls on registers, one a key, as they begin and end. Begins and ends are numbered in the order in which
 * this one process sees them, so that a call which ended before another began has the smaller number.
 */
export class RegisterHistory {
  private readonly byKey = new Map<number, RegisterOperation[]>();
  private position = 0;
  private lastId = 0;

  /** A write that fails, or has not ended yet, has an unknown outcome: it may be carried out, also later. */
  async write(
    client: string,
    key: number,
    value: RegisterValue,
    perform: () => Promise<void>,
  ): Promise<void> {
    const beganAt = this.tick();
    const index = this.add(key, {
      id: this.nextId(),
      kind: 'write',
      value,
      beganAt,
      endedAt: null,
      client,
    });
    await perform();
    const list = this.byKey.get(key);
    const begun = list?.[index];
    if (list !== undefined && begun !== undefined) list[index] = { ...begun, endedAt: this.tick() };
  }

  /** A read that fails has seen nothing, and is not recorded. */
  async read(
    client: string,
    key: number,
    perform: () => Promise<RegisterValue>,
  ): Promise<RegisterValue> {
    const beganAt = this.tick();
    const value = await perform();
    const endedAt = this.tick();
    this.add(key, { id: this.nextId(), kind: 'read', value, beganAt, endedAt, client });
    return value;
  }

  /** All writes that have begun and all reads that have ended, by register. */
  operations(): ReadonlyMap<number, readonly RegisterOperation[]> {
    return this.byKey;
  }

  private add(key: number, operation: RegisterOperation): number {
    const there = this.byKey.get(key) ?? [];
    this.byKey.set(key, there);
    return there.push(operation) - 1;
  }

  private tick(): number {
    this.position += 1;
    return this.position;
  }

  private nextId(): number {
    this.lastId += 1;
    return this.lastId;
  }
}
