import type { BlockDevice } from '../block-device.js';
import type { ReservationStore } from '../reservation/record.js';
import { InFlight } from './in-flight.js';
import { NamespaceReservations } from './namespace-reservations.js';

export interface NamespaceInit {
  readonly nsid: number;
  readonly device: BlockDevice;
  /** 16 bytes each. */
  readonly uuid: Buffer;
  readonly nguid: Buffer;
  readonly anaGroupId: number;
  readonly reservationStore: ReservationStore | undefined;
}

/** A BlockDevice under a namespace id. */
export class TargetNamespace {
  readonly nsid: number;
  readonly device: BlockDevice;
  readonly uuid: Buffer;
  readonly nguid: Buffer;
  readonly anaGroupId: number;
  readonly inFlight = new InFlight();
  readonly reservations: NamespaceReservations;

  constructor(init: NamespaceInit) {
    this.nsid = init.nsid;
    this.device = init.device;
    this.uuid = init.uuid;
    this.nguid = init.nguid;
    this.anaGroupId = init.anaGroupId;
    this.reservations = new NamespaceReservations(init.reservationStore);
  }

  get sizeBlocks(): number {
    return Math.floor(this.device.sizeBytes / this.device.blockSizeBytes);
  }
}
