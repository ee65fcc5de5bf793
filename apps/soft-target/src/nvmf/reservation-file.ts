import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LariatError } from '@lariat/kernel';
import { type ReservationRecord, type ReservationStore, ReservationType } from '@lariat/nvme-tcp';
import {
  arrayOf,
  bool,
  decodeObject,
  isJsonObject,
  objectOf,
  opt,
  str,
  uint32,
} from '../rpc/decode.js';

const ALL_REGISTRANTS: ReadonlySet<number> = new Set([
  ReservationType.writeExclusiveAllRegistrants,
  ReservationType.exclusiveAccessAllRegistrants,
]);

/** Keys are 64-bit numbers in the file, beyond what JSON.parse keeps exact: they are read as text. */
const KEYS = /("(?:rkey|crkey)"\s*:\s*)(\d+)/g;

const decode = decodeObject({
  ptpl: opt(bool),
  rtype: opt(uint32),
  crkey: opt(str),
  bdev_uuid: str,
  holder_uuid: opt(str),
  registrants: arrayOf(objectOf({ rkey: str, host_uuid: str })),
});

/**
 * The file that `ptpl_file` names, in SPDK's format (nvmf_ns_reservation_store_json in lib/nvmf/subsystem.c): a
 * namespace's registrants and reservation, tied to its bdev's uuid. The generation is not kept, as by SPDK.
 */
export class ReservationFile implements ReservationStore {
  constructor(
    private readonly path: string,
    private readonly bdevUuid: string,
  ) {}

  /** Rejects for a file that is there and is not of this bdev, or cannot be understood. */
  async load(): Promise<ReservationRecord | undefined> {
    let text: string;
    try {
      text = await readFile(this.path, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw invalid(this.path, String(error));
    }
    // SPDK empties the file when persistence is turned off.
    if (text.trim() === '') return undefined;
    try {
      return decodeReservations(text, this.bdevUuid);
    } catch (error) {
      throw invalid(this.path, error instanceof Error ? error.message : String(error));
    }
  }

  /** Whole or not at all: a crash leaves the file as it was before or as it is after. */
  async save(record: ReservationRecord): Promise<void> {
    const temporary = `${this.path}.new`;
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(encodeReservations(record, this.bdevUuid));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.path);
    const folder = await open(dirname(this.path), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

export function encodeReservations(record: ReservationRecord, bdevUuid: string): string {
  const { persistent, registrants, reservation } = record;
  // Of a reservation that all hold, any registrant's key will do.
  const holder = registrants.find(
    ({ hostId }) => reservation !== undefined && hostId === (reservation.holder ?? hostId),
  );
  const text = JSON.stringify({
    ptpl: persistent,
    rtype: reservation?.type ?? 0,
    crkey: decimal(holder?.key ?? '0'),
    bdev_uuid: bdevUuid,
    holder_uuid: reservation?.holder === undefined ? '' : dashed(reservation.holder),
    registrants: registrants.map(({ hostId, key }) => ({
      rkey: decimal(key),
      host_uuid: dashed(hostId),
    })),
  });
  return text.replaceAll(/("(?:rkey|crkey)":)"(\d+)"/g, '$1$2');
}

function decodeReservations(text: string, bdevUuid: string): ReservationRecord | undefined {
  const json: unknown = JSON.parse(text.replaceAll(KEYS, '$1"$2"'));
  if (!isJsonObject(json)) throw new Error('it holds no object');
  const { ptpl = false, rtype = 0, holder_uuid: holder, registrants, ...file } = decode(json);
  if (!ptpl || registrants.length === 0) return undefined;
  if (file.bdev_uuid !== bdevUuid) throw new Error(`it is of bdev ${file.bdev_uuid}`);
  const hosts = registrants.map((each) => ({
    hostId: undashed(each.host_uuid),
    key: hexKey(each.rkey),
  }));
  const base = { version: 1, persistent: true, generation: 0, registrants: hosts } as const;
  if (rtype === 0) return base;
  if (ALL_REGISTRANTS.has(rtype)) return { ...base, reservation: { type: rtype } };
  if (!Object.values<number>(ReservationType).includes(rtype))
    throw new Error(`it has the reservation type ${rtype}`);
  const held = undashed(holder ?? '');
  if (!hosts.some(({ hostId }) => hostId === held)) throw new Error('its holder is not registered');
  return { ...base, reservation: { type: rtype, holder: held } };
}

const decimal = (hex: string): string => BigInt(`0x${hex}`).toString();

function hexKey(text: string): string {
  const key = BigInt(text);
  if (key === 0n || key >= 1n << 64n) throw new Error(`its key ${text} is no 64-bit number`);
  return key.toString(16).padStart(16, '0');
}

function dashed(hostId: string): string {
  return hostId.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function undashed(uuid: string): string {
  const hostId = uuid.replaceAll('-', '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(hostId)) throw new Error(`its host '${uuid}' is no uuid`);
  return hostId;
}

function invalid(path: string, reason: string): LariatError {
  return new LariatError({
    kind: 'invalid',
    code: 'RESERVATION_FILE_INVALID',
    message: `the reservations in ${path} cannot be used: ${reason}; repair or remove the file`,
  });
}
