export const Feature = Object.freeze({
  arbitration: 0x01,
  powerManagement: 0x02,
  temperatureThreshold: 0x04,
  errorRecovery: 0x05,
  volatileWriteCache: 0x06,
  numberOfQueues: 0x07,
  interruptCoalescing: 0x08,
  interruptVector: 0x09,
  writeAtomicity: 0x0a,
  asyncEventConfiguration: 0x0b,
  keepAliveTimer: 0x0f,
  hostIdentifier: 0x81,
  reservationNotificationMask: 0x82,
  reservationPersistence: 0x83,
} as const);

/** Bits of the Asynchronous Event Configuration feature. */
export const AsyncEventEnable = Object.freeze({
  namespaceAttribute: 0x100,
  anaChange: 0x800,
  discoveryLogChange: 0x8000_0000,
} as const);
