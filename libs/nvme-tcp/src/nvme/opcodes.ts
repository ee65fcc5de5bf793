export const AdminOpcode = Object.freeze({
  getLogPage: 0x02,
  identify: 0x06,
  abort: 0x08,
  setFeatures: 0x09,
  getFeatures: 0x0a,
  asyncEventRequest: 0x0c,
  keepAlive: 0x18,
} as const);

export const IoOpcode = Object.freeze({
  flush: 0x00,
  write: 0x01,
  read: 0x02,
  compare: 0x05,
  writeZeroes: 0x08,
  datasetManagement: 0x09,
  verify: 0x0c,
  reservationRegister: 0x0d,
  reservationReport: 0x0e,
  reservationAcquire: 0x11,
  reservationRelease: 0x15,
} as const);
export type IoOpcode = (typeof IoOpcode)[keyof typeof IoOpcode];

/** Every fabrics command has this opcode; which one it is stands in FCTYPE. */
export const FABRICS_OPCODE = 0x7f;

export const FabricsCommand = Object.freeze({
  propertySet: 0x00,
  connect: 0x01,
  propertyGet: 0x04,
  disconnect: 0x08,
} as const);

/** Bits 1:0 of an opcode (of FCTYPE for a fabrics command) say which way its data goes. */
export const DataDirection = Object.freeze({
  none: 0,
  hostToController: 1,
  controllerToHost: 2,
  both: 3,
} as const);
