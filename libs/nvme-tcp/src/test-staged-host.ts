import { readCompletion, makeCommand, setCommandId, setSgl, SglType } from './nvme/entry.js';
import {
  DYNAMIC_CONTROLLER_ID,
  encodeConnectData,
  makeConnect,
  makePropertySet,
  Property,
} from './nvme/fabrics.js';
import { IoOpcode } from './nvme/opcodes.js';
import { Status, statusCode } from './nvme/status.js';
import { PduType } from './pdu/constants.js';
import { PduEncoder } from './pdu/pdu-encoder.js';
import { capsuleEntry, readTransferHeader } from './pdu/pdu.js';
import type { ListenAddress } from './target/listen-port.js';
import { type Cleanup, HOST_NQN, RawHost, SUBSYSTEM_NQN } from './test-support.js';

/** CC of a controller that is enabled: EN, 64-byte SQEs and 16-byte CQEs. */
const ENABLED = 0x0046_0001;

/** How far a connection is: open, after ICReq, after an admin Connect, an I/O queue; with both digests or none. */
export type Stage = 'open' | 'initialized' | 'admin' | 'io' | 'io with digests';

export interface StageOptions {
  /** 0's based. */
  readonly queueSize?: number;
  readonly keepAliveTimeoutMs?: number;
  /** Byte 1 of the Connect command. */
  readonly flags?: number;
}

/** A Connect command for queue 0 makes a new controller. */
export function sendConnect(
  host: RawHost,
  queueId: number,
  controllerId: number,
  options: StageOptions = {},
  commandId = 0,
): void {
  const entry = makeConnect({
    recordFormat: 0,
    queueId,
    queueSize: options.queueSize ?? 7,
    attributes: 0,
    keepAliveTimeoutMs: options.keepAliveTimeoutMs ?? 0,
  });
  setCommandId(entry, commandId);
  setSgl(entry, SglType.inCapsule, 1024);
  entry.writeUInt8(options.flags ?? entry.readUInt8(1), 1);
  host.encoder.capsuleCommand(
    entry,
    encodeConnectData({
      hostId: Buffer.alloc(16, 3),
      controllerId,
      subsystemNqn: SUBSYSTEM_NQN,
      hostNqn: HOST_NQN,
    }),
  );
}

export interface RawCompletion {
  readonly commandId: number;
  /** Without the do-not-retry bit. */
  readonly code: number;
  readonly dword0: number;
}

export async function nextCompletion(host: RawHost): Promise<RawCompletion> {
  const { commandId, status, dword0 } = readCompletion(
    capsuleEntry((await host.next(PduType.capsuleResp)).header),
  );
  return { commandId, code: statusCode(status), dword0 };
}

async function succeed(host: RawHost): Promise<number> {
  const { code, dword0 } = await nextCompletion(host);
  if (code !== Status.success) throw new Error(`status ${code} while a queue was set up`);
  return dword0;
}

/** A connection brought to a stage; an I/O queue comes with its admin connection. */
export async function hostAt(
  cleanup: Cleanup,
  address: ListenAddress,
  stage: Stage,
  options: StageOptions = {},
): Promise<{ readonly host: RawHost; readonly admin: RawHost | undefined }> {
  const host = await RawHost.connect(cleanup, address);
  if (stage === 'open') return { host, admin: undefined };
  await host.initialize(stage === 'io with digests');
  if (stage === 'initialized') return { host, admin: undefined };
  const admin = stage === 'admin' ? host : await RawHost.connect(cleanup, address);
  if (admin !== host) await admin.initialize();
  const { keepAliveTimeoutMs = 0 } = options;
  const own = admin === host ? options : { keepAliveTimeoutMs };
  sendConnect(admin, 0, DYNAMIC_CONTROLLER_ID, own);
  const id = await succeed(admin);
  admin.encoder.capsuleCommand(makePropertySet(Property.configuration, ENABLED));
  await succeed(admin);
  if (admin === host) return { host, admin };
  sendConnect(host, 1, id, options);
  await succeed(host);
  return { host, admin };
}

/** A command for queue and namespace 1 whose data, if it has any, goes outside the capsule. */
export function commandEntry(
  opcode: number,
  commandId: number,
  lengthBytes: number,
  dwords: readonly number[] = [],
  nsid = 1,
): Buffer {
  const entry = makeCommand(opcode, nsid, dwords);
  setCommandId(entry, commandId);
  setSgl(entry, SglType.transport, lengthBytes);
  return entry;
}

/** Sends a write of blocks 0 onwards, and returns the tag that its R2T gave. */
export async function beginWrite(
  host: RawHost,
  commandId: number,
  lengthBytes: number,
): Promise<number> {
  const blocks = Math.max(1, lengthBytes / 512);
  host.encoder.capsuleCommand(
    commandEntry(IoOpcode.write, commandId, lengthBytes, [0, 0, blocks - 1]),
  );
  return readTransferHeader((await host.next(PduType.r2t)).header).transferTag;
}

/** The bytes of PDUs as an encoder writes them, to be tampered with. */
export function encodedPdus(digests: boolean, write: (encoder: PduEncoder) => void): Buffer {
  const parts: Buffer[] = [];
  const encoder = new PduEncoder((bytes) => void parts.push(Buffer.from(bytes)));
  encoder.configure(digests, digests, 0);
  write(encoder);
  return Buffer.concat(parts);
}
