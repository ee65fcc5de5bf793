import { LariatError } from '@lariat/kernel';
import { makeCommand } from '../nvme/entry.js';
import { OptionalCommand } from '../nvme/identify-controller.js';
import { IoOpcode } from '../nvme/opcodes.js';
import {
  encodeReservationCommand,
  readReservationReport,
  type ReservationReport,
  reservationReportLength,
} from '../nvme/reservation-wire.js';
import type { ReservationAction } from '../reservation/next.js';
import type { ReservationType } from '../reservation/state.js';
import { IoRequest } from './io-request.js';
import type { NamespaceController } from './namespace.js';

const EXTENDED_DATA = 1;
const FIRST_REPORT_ENTRIES = 32;

/** The key that the host is registered with, or 'ignore' for whatever it is (IEKEY). */
export type CurrentKey = bigint | 'ignore';

export interface RegisterOptions {
  /** Sets whether the reservations of the namespace outlive a power loss of the target; unchanged when left out. */
  readonly persistent?: boolean;
}

interface CommandFields {
  readonly currentKey?: CurrentKey;
  readonly newKey?: bigint;
  readonly preemptKey?: bigint;
  readonly type?: ReservationType;
  readonly persistent?: boolean | undefined;
}

/**
 * Reservations of a remote namespace. Keys are 64-bit numbers other than 0; the host is known by its hostid.
 * Calls reject with ReservationConflictError when the target refuses, with BlockIoError('aborted') when the connection
 * broke before the answer came. Such a command is not sent again, as its second run could fail where the first
 * one succeeded: read the report to learn what became of it.
 */
export class HostReservations {
  private readonly controller: NamespaceController;
  private readonly nsid: number;

  constructor(controller: NamespaceController, nsid: number) {
    this.controller = controller;
    this.nsid = nsid;
  }

  /** Registering the same key once more changes nothing; another key is a conflict. */
  register(key: bigint, options: RegisterOptions = {}): Promise<void> {
    return this.run('register', { newKey: key, persistent: options.persistent });
  }

  /** With 'ignore' a host that is not registered becomes so. */
  replaceKey(current: CurrentKey, key: bigint, options: RegisterOptions = {}): Promise<void> {
    const { persistent } = options;
    return this.run('replace', { currentKey: current, newKey: key, persistent });
  }

  /** Ends a reservation that this host alone holds. */
  unregister(current: CurrentKey, options: RegisterOptions = {}): Promise<void> {
    return this.run('unregister', { currentKey: current, persistent: options.persistent });
  }

  acquire(key: bigint, type: ReservationType): Promise<void> {
    return this.run('acquire', { currentKey: key, type });
  }

  /**
   * Unregisters the hosts whose key is `preemptKey`, and takes over the reservation if it is theirs (with 0: from
   * all, if all hold it). With `abort` it resolves only when none of their commands runs any more.
   */
  preempt(
    key: bigint,
    preemptKey: bigint,
    type: ReservationType,
    options: { readonly abort?: boolean } = {},
  ): Promise<void> {
    return this.run(options.abort === true ? 'preemptAndAbort' : 'preempt', {
      currentKey: key,
      preemptKey,
      type,
    });
  }

  /** `type` must be that of the reservation. */
  release(key: bigint, type: ReservationType): Promise<void> {
    return this.run('release', { currentKey: key, type });
  }

  /** Ends the reservation and all registrations, this host's too. */
  clear(key: bigint): Promise<void> {
    return this.run('clear', { currentKey: key });
  }

  async report(): Promise<ReservationReport> {
    this.requireSupport();
    for (let entries = FIRST_REPORT_ENTRIES; ;) {
      const most = Math.floor((this.controller.maxTransferBytes - reservationReportLength(0)) / 64);
      const data = Buffer.alloc(reservationReportLength(Math.min(entries, most)));
      const dwords = data.length / 4 - 1;
      const entry = makeCommand(IoOpcode.reservationReport, this.nsid, [dwords, EXTENDED_DATA]);
      await this.controller.submit(new IoRequest({ entry, readInto: data }));
      const report = readReservationReport(data);
      if (report.registrantCount <= report.registrants.length || entries >= most) return report;
      // As many as there were, and some that may have come meanwhile.
      entries = report.registrantCount + FIRST_REPORT_ENTRIES;
    }
  }

  private async run(action: ReservationAction, fields: CommandFields): Promise<void> {
    this.requireSupport();
    const { opcode, dword10, data } = encodeReservationCommand({
      action,
      ignoreExistingKey: fields.currentKey === 'ignore',
      currentKey: typeof fields.currentKey === 'bigint' ? fields.currentKey : 0n,
      newKey: fields.newKey ?? 0n,
      preemptKey: fields.preemptKey ?? 0n,
      type: fields.type ?? 0,
      persistent: fields.persistent,
    });
    const entry = makeCommand(opcode, this.nsid, [dword10]);
    await this.controller.submit(new IoRequest({ entry, data, repeatable: false }));
  }

  private requireSupport(): void {
    if ((this.controller.optionalCommands & OptionalCommand.reservations) !== 0) return;
    throw new LariatError({
      kind: 'precondition',
      code: 'NVME_RESERVATIONS_UNSUPPORTED',
      message: `the controller of namespace ${this.nsid} does not support reservations`,
    });
  }
}
