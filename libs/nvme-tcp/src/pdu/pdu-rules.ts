import {
  CAPSULE_CMD_HEADER_LENGTH,
  CAPSULE_RESP_LENGTH,
  DATA_HEADER_LENGTH,
  IC_PDU_LENGTH,
  PduType,
  TERM_REQ_DATA_MAX,
} from './constants.js';

/** What one side may receive of a PDU type. */
export interface PduRule {
  readonly headerLength: number;
  readonly data: 'none' | 'optional' | 'required';
  /** ICReq, ICResp and TermReq never carry digests. */
  readonly digests: boolean;
  readonly maxDataLength: number;
}

export type PduRules = ReadonlyMap<PduType, PduRule>;

const initialize: PduRule = {
  headerLength: IC_PDU_LENGTH,
  data: 'none',
  digests: false,
  maxDataLength: 0,
};
const terminate: PduRule = {
  headerLength: DATA_HEADER_LENGTH,
  data: 'optional',
  digests: false,
  maxDataLength: TERM_REQ_DATA_MAX,
};

/** What a controller accepts. Both limits are in bytes. */
export function controllerRules(maxInCapsuleData: number, maxH2cData: number): PduRules {
  return new Map<PduType, PduRule>([
    [PduType.icReq, initialize],
    [PduType.h2cTermReq, terminate],
    [
      PduType.capsuleCmd,
      {
        headerLength: CAPSULE_CMD_HEADER_LENGTH,
        data: 'optional',
        digests: true,
        maxDataLength: maxInCapsuleData,
      },
    ],
    [
      PduType.h2cData,
      {
        headerLength: DATA_HEADER_LENGTH,
        data: 'required',
        digests: true,
        maxDataLength: maxH2cData,
      },
    ],
  ]);
}

/** What a host accepts; the length of C2HData is bounded by the command that it answers. */
export const HOST_RULES: PduRules = new Map<PduType, PduRule>([
  [PduType.icResp, initialize],
  [PduType.c2hTermReq, terminate],
  [
    PduType.capsuleResp,
    { headerLength: CAPSULE_RESP_LENGTH, data: 'none', digests: true, maxDataLength: 0 },
  ],
  [
    PduType.c2hData,
    {
      headerLength: DATA_HEADER_LENGTH,
      data: 'required',
      digests: true,
      maxDataLength: 0xffff_ffff,
    },
  ],
  [
    PduType.r2t,
    { headerLength: DATA_HEADER_LENGTH, data: 'none', digests: true, maxDataLength: 0 },
  ],
]);
