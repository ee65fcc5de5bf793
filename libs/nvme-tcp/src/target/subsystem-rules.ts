import { LariatError } from '@lariat/kernel';
import { isValidNqn } from '../nvme/nqn.js';
import { parseGuid } from '../nvme/text.js';
import type { NamespaceOptions } from './subsystem-types.js';

export const CNTLID_MAX = 0xffef;

export function refuse(
  kind: 'invalid' | 'conflict' | 'not_found' | 'precondition',
  code: string,
  message: string,
): LariatError {
  return new LariatError({ kind, code, message });
}

/** Throws what is wrong with a new subsystem. */
export function checkSubsystem(made: {
  readonly nqn: string;
  readonly serial: string;
  readonly model: string;
  readonly minCntlid: number;
  readonly maxCntlid: number;
}): void {
  const { nqn, serial, model, minCntlid, maxCntlid } = made;
  if (!isValidNqn(nqn)) {
    throw refuse(
      'invalid',
      'NVMF_NQN_INVALID',
      `'${nqn}' is not an NQN such as nqn.2024-01.io.lariat:volume`,
    );
  }
  if (!isText(serial, 20) || !isText(model, 40)) {
    throw refuse(
      'invalid',
      'NVMF_SERIAL_INVALID',
      'serial takes up to 20 and model up to 40 printable ASCII characters',
    );
  }
  if (minCntlid < 1 || maxCntlid > CNTLID_MAX || minCntlid > maxCntlid) {
    throw refuse(
      'invalid',
      'NVMF_CNTLID_INVALID',
      `minCntlid and maxCntlid must be ordered and within 1 to ${CNTLID_MAX}`,
    );
  }
}

/** Throws what is wrong with a new namespace; answers its identifiers in binary. */
export function checkNamespace(
  options: NamespaceOptions,
  anaGroupId: number,
  maxNamespaces: number,
): { readonly uuid: Buffer; readonly nguid: Buffer; readonly anaGroupId: number } {
  const uuid = parseGuid(options.uuid ?? options.device.uuid);
  const nguid = options.nguid === undefined ? uuid : parseGuid(options.nguid);
  if (uuid === undefined || nguid === undefined) {
    throw refuse('invalid', 'NVMF_GUID_INVALID', 'uuid and nguid must be 32 hexadecimal digits');
  }
  const { blockSizeBytes } = options.device;
  if (blockSizeBytes < 512 || !Number.isInteger(Math.log2(blockSizeBytes))) {
    throw refuse(
      'invalid',
      'NVMF_BLOCK_SIZE_INVALID',
      `block size ${blockSizeBytes} is not a power of two from 512 up`,
    );
  }
  if (!Number.isInteger(anaGroupId) || anaGroupId < 1 || anaGroupId > maxNamespaces) {
    throw refuse(
      'invalid',
      'NVMF_ANA_GROUP_INVALID',
      `ANA group ${anaGroupId} is not within 1 to ${maxNamespaces}`,
    );
  }
  return { uuid, nguid, anaGroupId };
}

function isText(text: string, maxLength: number): boolean {
  return text.length <= maxLength && /^[\x20-\x7e]*$/.test(text);
}
