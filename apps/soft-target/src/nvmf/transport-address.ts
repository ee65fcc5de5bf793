import { decodeObject, opt, str, type Decoded } from '../rpc/decode.js';
import type { JsonObject } from '../rpc/method.js';
import { RpcError } from '../rpc/rpc-error.js';

/** Parameters `listen_address`. */
export const listenAddressSpec = { trtype: str, adrfam: opt(str), traddr: str, trsvcid: opt(str) };
export const decodeListenAddress = decodeObject(listenAddressSpec);

/** A TCP address that has been checked. */
export interface TcpAddress {
  readonly adrfam: 'IPv4' | 'IPv6';
  readonly traddr: string;
  readonly trsvcid: string;
}

/** Lengths of traddr and trsvcid in spdk_nvme_transport_id (include/spdk/nvme.h). */
const MAX_TRADDR_LENGTH = 256;
const MAX_TRSVCID_LENGTH = 32;

/** Undefined when it is none that TCP has; without an `adrfam` it is IPv4, as in SPDK. */
export function tcpAddress(address: Decoded<typeof listenAddressSpec>): TcpAddress | undefined {
  const adrfam = parseAdrfam(address.adrfam ?? 'IPv4');
  const { traddr, trsvcid = '' } = address;
  const valid =
    address.trtype.toUpperCase() === 'TCP' &&
    // To Node an empty address is every address of the machine.
    traddr !== '' &&
    traddr.length <= MAX_TRADDR_LENGTH &&
    trsvcid.length <= MAX_TRSVCID_LENGTH;
  return valid && adrfam !== undefined ? { adrfam, traddr, trsvcid } : undefined;
}

/** As above; refuses what is no TCP address the way lib/nvmf/nvmf_rpc.c does. */
export function requireTcpAddress(address: Decoded<typeof listenAddressSpec>): TcpAddress {
  const found = tcpAddress(address);
  if (found === undefined) throw RpcError.invalidParams();
  return found;
}

export function parseAdrfam(text: string): 'IPv4' | 'IPv6' | undefined {
  const upper = text.toUpperCase();
  if (upper === 'IPV4') return 'IPv4';
  return upper === 'IPV6' ? 'IPv6' : undefined;
}

export function describeTcpAddress(address: {
  readonly traddr: string;
  readonly trsvcid: string;
}): JsonObject {
  return {
    trtype: 'TCP',
    adrfam: address.traddr.includes(':') ? 'IPv6' : 'IPv4',
    traddr: address.traddr,
    trsvcid: address.trsvcid,
  };
}
