import { AsyncNotice } from '../nvme/async-event.js';
import { readCdw, readU64 } from '../nvme/entry.js';
import {
  encodeAnaLog,
  encodeChangedNamespaces,
  encodeCommandEffects,
  encodeDiscoveryLog,
  encodeFirmwareSlots,
  encodeHealth,
  LogPage,
} from '../nvme/log-page.js';
import { doNotRetry, Status } from '../nvme/status.js';
import { type CommandResult, fitted, type TargetCommand } from './command.js';
import type { TargetController } from './controller.js';
import { FIRMWARE_REVISION } from './identify-command.js';

const RETAIN_ASYNC_EVENT = 0x8000;
const ANA_GROUPS_ONLY = 0x01;
const CDW12_OFFSET = 48;

export function getLogPage(controller: TargetController, command: TargetCommand): CommandResult {
  const { entry } = command;
  const dword10 = readCdw(entry, 10);
  const logPage = dword10 & 0xff;
  // NUMD is 0's based and split: NUMDL in CDW10, NUMDU in CDW11.
  const length = ((dword10 >>> 16) + (readCdw(entry, 11) & 0xffff) * 0x1_0000 + 1) * 4;
  const offset = readU64(entry, CDW12_OFFSET);
  if (length > command.readLength || offset % 4 !== 0)
    return { status: doNotRetry(Status.invalidField) };
  const retain = (dword10 & RETAIN_ASYNC_EVENT) !== 0;
  const page = pageOf(controller, {
    logPage,
    specific: (dword10 >>> 8) & 0x7f,
    retain,
    offset,
    length,
  });
  if (page === undefined) return { status: doNotRetry(Status.invalidLogPage) };
  if (offset > page.length) return { status: doNotRetry(Status.invalidField) };
  if (!retain) controller.events.logPageRead(logPage);
  return { status: Status.success, data: fitted(page.subarray(offset, offset + length), length) };
}

interface PageRequest {
  readonly logPage: number;
  /** LSP. */
  readonly specific: number;
  readonly retain: boolean;
  readonly offset: number;
  readonly length: number;
}

function pageOf(controller: TargetController, request: PageRequest): Buffer | undefined {
  const { logPage, specific, retain } = request;
  const { subsystem } = controller;
  if (subsystem === undefined) {
    if (logPage !== LogPage.discovery) return undefined;
    const { discovery } = controller;
    const entries = discovery.entries(controller.hostNqn, controller.admin.port);
    return encodeDiscoveryLog(discovery.generation, entries, controller.limits.maxQueueDepth);
  }
  switch (logPage) {
    case LogPage.error:
      return Buffer.alloc(64);
    case LogPage.health:
      return encodeHealth();
    case LogPage.firmwareSlot:
      return encodeFirmwareSlots(FIRMWARE_REVISION);
    case LogPage.changedNamespaces: {
      const page = encodeChangedNamespaces(
        [...controller.changedNamespaces].toSorted((a, b) => a - b),
      );
      if (!retain) controller.changedNamespaces.clear();
      return page;
    }
    case LogPage.commandEffects:
      return encodeCommandEffects();
    case LogPage.reservationNotification: {
      const page = controller.reservationLog.read(request.offset, request.length);
      if (controller.reservationLog.isEmpty)
        controller.events.withdraw(AsyncNotice.reservationLogAvailable);
      return page;
    }
    case LogPage.ana: {
      if (!subsystem.anaReporting) return undefined;
      const groups = subsystem.anaGroups(controller.admin.port);
      return encodeAnaLog(subsystem.anaChangeCount, groups, (specific & ANA_GROUPS_ONLY) !== 0);
    }
    default:
      return undefined;
  }
}
