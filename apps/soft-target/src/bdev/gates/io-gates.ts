import { RpcError } from '../../rpc/rpc-error.js';
import type { Bdev } from '../bdev.js';
import { MeteredBdev } from '../metered-bdev.js';

/** Linux's ESTALE. */
const ESTALE = 116;
/** How many ids of gates that have opened are remembered for each bdev, so that none closes twice. */
const REMEMBERED_IDS = 64;

interface ClosedGate {
  readonly id: string;
  readonly drained: Promise<void>;
  readonly opened: Promise<void>;
  readonly open: () => void;
}

interface BdevGate {
  closed: ClosedGate | undefined;
  readonly spent: string[];
}

/**
 * Gates that hold a bdev's new I/O for a client. A gate is closed once under one id, without a break, and
 * opens by itself after its time: a client that dies can't stop a volume, and one that is late is told so
 * instead of changing something under I/O that has gone on.
 */
export class IoGates {
  private readonly gates = new WeakMap<MeteredBdev, BdevGate>();

  /** Resolves when the gate is closed and nothing is in flight. Asking again with the same id joins. */
  async quiesce(bdev: Bdev, id: string, timeoutMs: number): Promise<void> {
    const metered = gated(bdev);
    const gate = this.gateOf(metered);
    if (gate.closed === undefined) {
      if (gate.spent.includes(id)) throw expired();
      this.close(metered, gate, id, timeoutMs);
    }
    const { closed } = gate;
    if (closed?.id !== id) throw RpcError.errno('EBUSY');
    await Promise.race([closed.drained, closed.opened]);
    if (gate.closed !== closed) {
      throw RpcError.errno('ETIMEDOUT', 'The gate opened before the I/O in flight had ended');
    }
  }

  /** Opens the gate; true when it had been closed until now. Another id opens nothing. */
  unquiesce(bdev: Bdev, id: string): boolean {
    const { closed } = this.gateOf(gated(bdev));
    if (closed?.id !== id) return false;
    closed.open();
    return true;
  }

  /** Throws -ESTALE unless the gate with this id is still closed. */
  checkClosed(bdev: Bdev, id: string): void {
    if (this.gateOf(gated(bdev)).closed?.id !== id) throw expired();
  }

  private close(bdev: MeteredBdev, gate: BdevGate, id: string, timeoutMs: number): void {
    let tellOpened = (): void => undefined;
    const opened = new Promise<void>((resolve) => (tellOpened = resolve));
    const open = (): void => {
      clearTimeout(timer);
      gate.closed = undefined;
      gate.spent.push(id);
      if (gate.spent.length > REMEMBERED_IDS) gate.spent.shift();
      bdev.gate.open();
      tellOpened();
    };
    const timer = setTimeout(open, timeoutMs);
    gate.closed = { id, drained: bdev.gate.close(), opened, open };
  }

  private gateOf(bdev: MeteredBdev): BdevGate {
    let gate = this.gates.get(bdev);
    if (gate === undefined) {
      gate = { closed: undefined, spent: [] };
      this.gates.set(bdev, gate);
    }
    return gate;
  }
}

function gated(bdev: Bdev): MeteredBdev {
  if (bdev instanceof MeteredBdev) return bdev;
  throw RpcError.errno('ENOTSUP');
}

function expired(): RpcError {
  return new RpcError(-ESTALE, 'Gate expired');
}
