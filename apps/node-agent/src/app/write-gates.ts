import { lariatError, type NodeRecord } from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import type { OwnedRaid } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { DeviceGate } from './device-gate.js';
import { isAbsent } from './target-errors.js';

/** A target that has it holds I/O of its own; stock SPDK does not. */
export const QUIESCE = 'lariat_bdev_quiesce';

/** What the node tells of it: nothing while its target has not answered yet. */
export function writeGateOf(target: Pick<TargetPort, 'supports'>): Pick<NodeRecord, 'writeGate'> {
  if (!target.supports('rpc_get_methods')) return {};
  return { writeGate: target.supports(QUIESCE) ? 'target' : 'device' };
}

export interface WriteGatesParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly device: DeviceGate;
  readonly clock: Clock;
}

/** What holds a volume's writes for a moment: its raid where the target can do that, else its block device on this host. */
export class WriteGates {
  constructor(private readonly parts: WriteGatesParts) {}

  /** Returns when no write is under way. The gate opens by itself after `timeoutMs`. */
  async close(
    record: OwnedRaid,
    gate: string,
    timeoutMs: number,
    operation: string,
  ): Promise<void> {
    const { journal, target, device, clock } = this.parts;
    const { name: volume, epoch, params } = record;
    const isTargets = target.supports(QUIESCE);
    const why = isTargets ? undefined : device.whyNot(volume, epoch);
    if (why !== undefined) throw gateMissing(volume, target.version, why);
    const before = params.gate;
    // An earlier try whose answer was lost may have closed it: nobody is left to open that one, and writers wait.
    const isOthers = before !== null && before.id !== gate && clock.nowMs() < before.untilMs;
    if (isOthers && isTargets) await target.spdk().bdev.unquiesce(volume, before.id);
    const untilMs = clock.nowMs() + timeoutMs;
    await journal.putOwned({ ...record, params: { ...params, gate: { id: gate, untilMs } } });
    if (isTargets) await target.spdk().bdev.quiesce(volume, gate, timeoutMs);
    else await device.close(volume, gate, untilMs, operation);
  }

  /** Throws GATE_EXPIRED unless the gate is closed, as far as this node can tell. */
  require({ name: volume, params }: OwnedRaid, gate: string): void {
    const { target, device, clock } = this.parts;
    const isOnRecord =
      params.gate !== null && params.gate.id === gate && clock.nowMs() < params.gate.untilMs;
    if (isOnRecord && (target.supports(QUIESCE) || device.isClosed(volume, gate))) return;
    throw gateExpired(volume, gate);
  }

  /** Ends the connection of the host whose writes are held, where what it is connected to is to go and come. */
  cutOff({ name: volume }: OwnedRaid, operation: string): Promise<void> {
    return this.parts.device.cutOff(volume, operation);
  }

  /** Whether it was closed until now. */
  async open(
    volume: string,
    record: OwnedRaid | undefined,
    gate: string,
    operation: string,
  ): Promise<boolean> {
    const { journal, target, device } = this.parts;
    // Whatever became of the engine, a device is not left held.
    const wasHeld = await device.open(volume, gate, operation);
    if (record === undefined || record.params.gate?.id !== gate) return false;
    let held = wasHeld;
    try {
      if (target.supports(QUIESCE)) held = (await target.spdk().bdev.unquiesce(volume, gate)).held;
    } catch (reason) {
      // The raid went away, and the gate with it: whatever was done under it must be abandoned.
      if (!isAbsent(reason)) throw reason;
    }
    const known = journal.owned('raid', volume) ?? record;
    await journal.putOwned({ ...known, params: { ...known.params, gate: null } });
    return held;
  }
}

export function gateExpired(volume: string, gate: string): Error {
  return lariatError(
    'GATE_EXPIRED',
    `gate ${gate} of volume ${volume} is not closed any more; abandon the change and start it again`,
  );
}

function gateMissing(volume: string, version: string, why: string): Error {
  return lariatError(
    'GATE_MISSING',
    `nothing on this node can hold what is written to volume ${volume} for a moment: the target ${version} can't, and ${why}. Detach the volume, or attach it with frontend 'kernel'`,
    { volume },
  );
}
