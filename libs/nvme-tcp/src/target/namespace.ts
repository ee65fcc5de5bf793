import type { BlockDevice } from '../block-device.js';
import { InFlight } from './in-flight.js';

export interface NamespaceInit {
  readonly nsid: number;
  readonly device: BlockDevice;
  /** 16 bytes each. */
  readonly uuid: Buffer;
  readonly nguid: Buffer;
  readonly anaGroupId: number;
}

/** A BlockDevice under a namespace id. */
export class TargetNamespace {
  readonly nsid: number;
  readonly device: BlockDevice;
  readonly uuid: Buffer;
  readonly nguid: Buffer;
  readonly anaGroupId: number;
  readonly inFlight = new InFlight();

  constructor(init: NamespaceInit) {
    this.nsid = init.nsid;
    this.device = init.device;
    this.uuid = init.uuid;
    this.nguid = init.nguid;
    this.anaGroupId = init.anaGroupId;
  }

  get sizeBlocks(): number {
    return Math.floor(this.device.sizeBytes / this.device.blockSizeBytes);
  }
}
