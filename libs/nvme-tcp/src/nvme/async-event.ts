import { AsyncEventEnable } from './features.js';
import { LogPage } from './log-page.js';

/** Asynchronous event types. */
const NOTICE = 0x02;
const IO_COMMAND_SET = 0x06;

/** Events this library raises: completion dword 0 carries type, information and the log page to read. */
export const AsyncNotice = Object.freeze({
  namespaceAttributeChanged: {
    type: NOTICE,
    information: 0x00,
    logPage: LogPage.changedNamespaces,
    enable: AsyncEventEnable.namespaceAttribute,
  },
  anaChanged: {
    type: NOTICE,
    information: 0x03,
    logPage: LogPage.ana,
    enable: AsyncEventEnable.anaChange,
  },
  /** Masked by a feature of each namespace, not by the Asynchronous Event Configuration. */
  reservationLogAvailable: {
    type: IO_COMMAND_SET,
    information: 0x00,
    logPage: LogPage.reservationNotification,
    enable: undefined,
  },
  discoveryLogChanged: {
    type: NOTICE,
    information: 0xf0,
    logPage: LogPage.discovery,
    enable: AsyncEventEnable.discoveryLogChange,
  },
} as const);
export type AsyncNotice = (typeof AsyncNotice)[keyof typeof AsyncNotice];

export function encodeNotice(notice: AsyncNotice): number {
  return (notice.type | (notice.information << 8) | (notice.logPage << 16)) >>> 0;
}

/** The notice in an event's dword 0, or undefined for an event of another kind. */
export function readNotice(dword0: number): AsyncNotice | undefined {
  const type = dword0 & 0x07;
  const information = (dword0 >>> 8) & 0xff;
  return Object.values(AsyncNotice).find(
    (notice) => notice.type === type && notice.information === information,
  );
}
