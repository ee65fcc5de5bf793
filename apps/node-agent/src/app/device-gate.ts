import { lariatError } from '@lariat/contracts';
import { toLariatError, type Clock } from '@lariat/kernel';
import { connectionsOf, dmOf, dmUuid, isHeld } from '../domain/dm-life.js';
import type { DeviceHold, OwnedDm } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { DeviceMapperPort, KernelNvmePort } from '../ports/kernel-devices.port.js';
import type { LogPort } from '../ports/log.port.js';
import { type DeviceLives, withParams } from './device-lives.js';

export interface DeviceGateParts {
  readonly journal: JournalPort;
  readonly nvme: Pick<KernelNvmePort, 'controllers' | 'disconnect'>;
  readonly mapper: Pick<DeviceMapperPort, 'list' | 'suspend'>;
  readonly devices: Pick<DeviceLives, 'settle'>;
  readonly clock: Clock;
  readonly log: LogPort;
}

/**
 * Holds what is written to a volume at its device-mapper device, for targets that can't hold it by themselves
 * (docs/adr/0039). A hold is on record before it is made, and the watch of devices ends one that nobody has opened in time.
 */
export class DeviceGate {
  constructor(private readonly parts: DeviceGateParts) {}

  /** Why nothing here can hold what is written to the volume; undefined: its device can. */
  whyNot(volume: string, epoch: number): string | undefined {
    const frontend = this.parts.journal.owned('frontend', volume);
    if (frontend === undefined || frontend.epoch !== epoch) return 'it has no frontend here';
    const { frontend: kind } = frontend.params;
    if (kind !== 'kernel') return `its frontend is '${kind}'`;
    return this.current(volume) === undefined ? 'it has no device yet' : undefined;
  }

  /** Returns when all that was under way has ended, and nothing follows. */
  async close(volume: string, gate: string, untilMs: number, operation: string): Promise<void> {
    const record = this.current(volume);
    if (record === undefined) throw notHeld(volume);
    await this.note(record, { gate, untilMs, isClosed: false });
    try {
      await this.parts.mapper.suspend(dmUuid(record), operation);
      await this.note(record, { gate, untilMs, isClosed: true });
      if (!this.isClosed(volume, gate)) throw notHeld(volume);
    } catch (reason) {
      await this.open(volume, gate, operation);
      throw reason;
    }
  }

  /** Whether nothing has got through since `close`. */
  isClosed(volume: string, gate: string): boolean {
    const record = this.current(volume);
    if (record === undefined || record.params.held?.gate !== gate) return false;
    const { mapper, clock } = this.parts;
    return isHeld(record, dmOf(record, mapper.list()), clock.nowMs());
  }

  /**
   * Ends the kernel's connection, so that the namespace beneath may go and come: a device of its own that goes beneath one
   * that still leads there would be an error to the first who writes. `open` connects again.
   */
  async cutOff(volume: string, operation: string): Promise<void> {
    const record = this.current(volume);
    if (record === undefined) return;
    const { nvme } = this.parts;
    for (const { name } of connectionsOf(record, nvme.controllers()))
      await nvme.disconnect(name, operation);
  }

  /** Lets what was held go on, over whatever path there is now. Whether it had been held all the time. */
  async open(volume: string, gate: string, operation: string): Promise<boolean> {
    const { devices, log } = this.parts;
    const wasClosed = this.isClosed(volume, gate);
    const record = this.current(volume);
    if (record === undefined || record.params.held?.gate !== gate) return false;
    await this.note(record, null);
    try {
      await devices.settle(volume, operation);
    } catch (reason) {
      // The watch goes on with it: I/O waits for that.
      log.warn('device not let go yet', { volume, error: toLariatError(reason).message });
    }
    return wasClosed;
  }

  private current(volume: string): OwnedDm | undefined {
    return this.parts.journal
      .ownedOfKind('dm')
      .find((record) => record.volume === volume && record.params.leaving === null);
  }

  private note({ name }: OwnedDm, held: DeviceHold | null): Promise<void> {
    const { journal } = this.parts;
    const record = journal.owned('dm', name);
    return record === undefined
      ? Promise.resolve()
      : journal.putOwned(withParams(record, { held }));
  }
}

function notHeld(volume: string): Error {
  return lariatError(
    'DEVICE_NOT_MADE',
    `the device of volume ${volume} could not be made to hold what is written to it; it is tried again`,
  );
}
