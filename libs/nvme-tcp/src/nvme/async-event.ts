import { AsyncEventEnable } from './features.js';
import { LogPage } from './log-page.js';

const NOTICE = 0x02;

/** Notices this library raises: completion dword 0 carries type, information and the log page to read. */
export const AsyncNotice = Object.freeze({
  namespaceAttributeChanged: {
    information: 0x00,
    logPage: LogPage.changedNamespaces,
    enable: AsyncEventEnable.namespaceAttribute,
  },
  anaChanged: { information: 0x03, logPage: LogPage.ana, enable: AsyncEventEnable.anaChange },
  discoveryLogChanged: {
    information: 0xf0,
    logPage: LogPage.discovery,
    enable: AsyncEventEnable.discoveryLogChange,
  },
} as const);
export type AsyncNotice = (typeof AsyncNotice)[keyof typeof AsyncNotice];

export function encodeNotice(notice: AsyncNotice): number {
  return (NOTICE | (notice.information << 8) | (notice.logPage << 16)) >>> 0;
}

/** The notice in an event's dword 0, or undefined for an event of another kind. */
export function readNotice(dword0: number): AsyncNotice | undefined {
  if ((dword0 & 0x07) !== NOTICE) return undefined;
  const information = (dword0 >>> 8) & 0xff;
  return Object.values(AsyncNotice).find((notice) => notice.information === information);
}
