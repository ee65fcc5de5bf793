import { readCdw, readOpcode } from '../nvme/entry.js';
import { IoOpcode } from '../nvme/opcodes.js';
import {
  type AssociatedController,
  encodeReservationReport,
  readReservationCommand,
} from '../nvme/reservation-wire.js';
import { doNotRetry, type NvmeStatus, Status } from '../nvme/status.js';
import type { ReservationNotification } from '../reservation/next.js';
import { type CommandOutcome, type CommandResult, fitted, type TargetCommand } from './command.js';
import type { InFlight } from './in-flight.js';
import type { TargetNamespace } from './namespace.js';

/** What reservation commands need of the controllers of their subsystem. */
export interface ReservationScope {
  /** 32 hexadecimal digits. */
  readonly hostIdHex: string;
  associatedControllers(): readonly AssociatedController[];
  notifyReservations(nsid: number, notifications: readonly ReservationNotification[]): void;
  /** Ends the commands that these hosts have begun on the namespace; resolves when none runs any more. */
  endCommandsOf(hostIds: readonly string[], nsid: number): Promise<void>;
}

const RESERVATION_OPCODES: ReadonlySet<number> = new Set([
  IoOpcode.reservationRegister,
  IoOpcode.reservationReport,
  IoOpcode.reservationAcquire,
  IoOpcode.reservationRelease,
]);

export function isReservationOpcode(opcode: number): boolean {
  return RESERVATION_OPCODES.has(opcode);
}

/** A host that gives no identifier cannot be told from another one, so it takes no part in reservations (RHII). */
const NO_HOST_ID = '0'.repeat(32);

/** EDS: the extended data structure, the only one that has room for the host identifiers of fabrics. */
const EXTENDED_DATA = 0x01;

const failed = (status: NvmeStatus): CommandResult => ({ status: doNotRetry(status) });

export function executeReservation(
  scope: ReservationScope,
  namespace: TargetNamespace,
  command: TargetCommand,
  queue: { readonly isClosed: boolean; readonly reservationsInFlight: InFlight },
): CommandOutcome {
  if (scope.hostIdHex === NO_HOST_ID) return failed(Status.hostIdNotInitialized);
  if (readOpcode(command.entry) === IoOpcode.reservationReport)
    return report(scope, namespace, command);
  const request = readReservationCommand(command.entry, command.data, scope.hostIdHex);
  if (typeof request === 'number') return failed(request);
  const counted = queue.reservationsInFlight.begin();
  let preempted: readonly string[] = [];
  return namespace.reservations
    .execute(
      request,
      () => !queue.isClosed,
      (transition) => {
        preempted = transition.abortedHosts;
        scope.notifyReservations(namespace.nsid, transition.notifications);
      },
    )
    .then(async (status) => {
      // Outside the turn: commands of others may go on while the last ones of a preempted host end.
      if (preempted.length > 0) await scope.endCommandsOf(preempted, namespace.nsid);
      return { status: status === Status.success ? status : doNotRetry(status) };
    })
    .finally(() => counted.end());
}

function report(
  scope: ReservationScope,
  namespace: TargetNamespace,
  command: TargetCommand,
): CommandResult {
  if ((readCdw(command.entry, 11) & EXTENDED_DATA) === 0)
    return failed(Status.hostIdInconsistentFormat);
  // NUMD is 0's based.
  const length = (readCdw(command.entry, 10) + 1) * 4;
  if (length > command.readLength) return failed(Status.dataSglLengthInvalid);
  const data = encodeReservationReport(namespace.reservations.state, scope.associatedControllers());
  return { status: Status.success, data: fitted(data.subarray(0, length), length) };
}
