import { INITIAL, type RegisterOperation, type RegisterValue } from './register-history.js';

export type LinearizabilityVerdict =
  | { readonly linearizable: true }
  | {
      readonly linearizable: false;
      /** The longest prefix that could be put in an order, by id. */
      readonly ordered: readonly number[];
      /** The operation that had to come next, in no order, and those it overlaps. */
      readonly obstacle: RegisterOperation;
      readonly around: readonly RegisterOperation[];
    };

/** A begin or an end in the list of what is not yet in the order. */
interface Entry {
  readonly operation: RegisterOperation;
  /** Its index among all operations; the bit that says whether it is in the order. */
  readonly bit: bigint;
  /** The end that belongs to a begin; null for an end, and for a begin without an end. */
  end: Entry | null;
  readonly isBegin: boolean;
  previous: Entry | null;
  next: Entry | null;
}

/**
 * Whether the calls on one register can be put in one order that respects time (a call that ended before another
 * began is before it) and in which each read gives the value of the write before it. Writes whose outcome is unknown
 * may be in the order, or not.
 *
 * The search is that of Wing and Gong (1993) with Lowe's cache of configurations (2017): a set of ordered calls that
 * led to the same value before leads nowhere new.
 */
export function checkRegister(
  operations: readonly RegisterOperation[],
  initial: RegisterValue = INITIAL,
): LinearizabilityVerdict {
  const relevant = withoutUnseen(operations);
  const head = toList(relevant);
  let left = relevant.filter(({ endedAt }) => endedAt !== null).length;
  let value = initial;
  let ordered = 0n;
  const order: { entry: Entry; valueBefore: RegisterValue }[] = [];
  const seen = new Set<string>();
  let best: readonly number[] = [];
  let obstacle: RegisterOperation | undefined;
  let entry = head.next;
  while (left > 0) {
    // A list that holds an end cannot run out of entries before that end is met.
    if (entry === null) throw new Error('the list of calls has lost an end');
    if (entry.isBegin) {
      const { operation } = entry;
      if (operation.kind === 'write' || operation.value === value) {
        const after = operation.kind === 'write' ? operation.value : value;
        const configuration = `${(ordered | entry.bit).toString(36)}=${after}`;
        if (!seen.has(configuration)) {
          seen.add(configuration);
          order.push({ entry, valueBefore: value });
          ordered |= entry.bit;
          value = after;
          if (operation.endedAt !== null) left -= 1;
          lift(entry);
          entry = head.next;
          continue;
        }
      }
      entry = entry.next;
      continue;
    }
    // Its call has ended and is in no order yet: some choice before was wrong.
    if (obstacle === undefined || order.length > best.length) {
      best = order.map((step) => step.entry.operation.id);
      obstacle = entry.operation;
    }
    const undone = order.pop();
    if (undone === undefined) {
      return {
        linearizable: false,
        ordered: best,
        obstacle,
        around: operations.filter((other) => overlaps(other, obstacle ?? other)),
      };
    }
    ordered &= ~undone.entry.bit;
    value = undone.valueBefore;
    if (undone.entry.operation.endedAt !== null) left += 1;
    unlift(undone.entry);
    entry = undone.entry.next;
  }
  return { linearizable: true };
}

/** The registers whose calls fit no order. */
export function findViolations(
  history: ReadonlyMap<number, readonly RegisterOperation[]>,
): ReadonlyMap<number, Extract<LinearizabilityVerdict, { linearizable: false }>> {
  const found = new Map<number, Extract<LinearizabilityVerdict, { linearizable: false }>>();
  // A history is linearizable exactly when that of each register is (Herlihy and Wing 1990, locality).
  for (const [key, operations] of history) {
    const verdict = checkRegister(operations);
    if (!verdict.linearizable) found.set(key, verdict);
  }
  return found;
}

/**
 * A write of unknown outcome whose value no read has seen may as well not have happened. Without this each such write
 * would double the search.
 */
function withoutUnseen(operations: readonly RegisterOperation[]): readonly RegisterOperation[] {
  const read = new Set(operations.filter(({ kind }) => kind === 'read').map(({ value }) => value));
  return operations.filter(
    ({ kind, value, endedAt }) => endedAt !== null || (kind === 'write' && read.has(value)),
  );
}

function toList(operations: readonly RegisterOperation[]): Entry {
  const placed: { at: number; entry: Entry }[] = [];
  for (const [index, operation] of operations.entries()) {
    const bit = 1n << BigInt(index);
    const begin = newEntry(operation, bit, true);
    placed.push({ at: operation.beganAt, entry: begin });
    if (operation.endedAt === null) continue;
    begin.end = newEntry(operation, bit, false);
    placed.push({ at: operation.endedAt, entry: begin.end });
  }
  placed.sort((one, other) => one.at - other.at);
  const [first] = operations;
  // The head stands before all entries and belongs to no call; only its `next` is looked at.
  const head = newEntry(first ?? NO_OPERATION, 0n, true);
  let last = head;
  for (const { entry } of placed) {
    entry.previous = last;
    last.next = entry;
    last = entry;
  }
  return head;
}

const NO_OPERATION: RegisterOperation = {
  id: 0,
  kind: 'read',
  value: INITIAL,
  beganAt: 0,
  endedAt: null,
  client: '',
};

const newEntry = (operation: RegisterOperation, bit: bigint, isBegin: boolean): Entry => ({
  operation,
  bit,
  end: null,
  isBegin,
  previous: null,
  next: null,
});

/** Takes a begin and its end out of the list; they remember where they stood. */
function lift(begin: Entry): void {
  unlink(begin);
  if (begin.end !== null) unlink(begin.end);
}

/** The end first: it was taken out last, and the begin may have been its neighbour. */
function unlift(begin: Entry): void {
  if (begin.end !== null) link(begin.end);
  link(begin);
}

function unlink(entry: Entry): void {
  if (entry.previous !== null) entry.previous.next = entry.next;
  if (entry.next !== null) entry.next.previous = entry.previous;
}

function link(entry: Entry): void {
  if (entry.previous !== null) entry.previous.next = entry;
  if (entry.next !== null) entry.next.previous = entry;
}

function overlaps(one: RegisterOperation, other: RegisterOperation): boolean {
  const endOf = ({ endedAt }: RegisterOperation): number => endedAt ?? Number.POSITIVE_INFINITY;
  return one.beganAt < endOf(other) && other.beganAt < endOf(one);
}
