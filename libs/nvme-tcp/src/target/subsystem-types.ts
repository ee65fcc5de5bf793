import type { BlockDevice } from '../block-device.js';
import type { AnaGroup } from '../nvme/log-page.js';
import type { ReservationStore } from '../reservation/record.js';
import type { ListenAddress } from './listen-port.js';

export interface SubsystemOptions {
  readonly nqn: string;
  /** Up to 20 ASCII characters. */
  readonly serial?: string;
  /** Up to 40 ASCII characters. */
  readonly model?: string;
  readonly allowAnyHost?: boolean;
  /** Range of controller ids, 1 and 65519 when left out. */
  readonly minCntlid?: number;
  readonly maxCntlid?: number;
  /** Off by default, as in SPDK; setAnaState needs it. */
  readonly anaReporting?: boolean;
}

export interface NamespaceOptions {
  readonly device: BlockDevice;
  /** The lowest free one when left out. */
  readonly nsid?: number;
  /** The device's when left out. */
  readonly uuid?: string;
  /** 32 hexadecimal digits; the UUID's bytes when left out. */
  readonly nguid?: string;
  /** The namespace id when left out. */
  readonly anaGroupId?: number;
  /** Where its reservations are kept through a power loss; without it they are lost with the namespace. */
  readonly reservationStore?: ReservationStore;
}

export interface QueueInfo {
  readonly queueId: number;
  readonly sizeEntries: number;
  readonly outstanding: number;
  readonly state: 'active' | 'closed';
  readonly listenAddress: ListenAddress;
  readonly peerAddress: ListenAddress;
}

export interface ControllerInfo {
  readonly cntlid: number;
  readonly hostNqn: string;
  /** 32 hexadecimal digits. */
  readonly hostId: string;
  readonly ioQueueCount: number;
  readonly queues: readonly QueueInfo[];
}

export interface ListenerInfo {
  readonly address: ListenAddress;
  readonly anaGroups: readonly AnaGroup[];
}
