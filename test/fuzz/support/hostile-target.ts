import { mutateBytes } from './mutate-bytes.js';
import { mutateHeader, PduType, sealPdu, splitPdus, type Digests } from './pdus.js';
import type { Random } from './random.js';
import type { RelayedConnection } from './tcp-relay.js';

/** PDUs that a host gets while it connects and does a little I/O. */
const USUAL_PDUS = 24;

export interface Malice {
  readonly digests: Digests;
  /** Changes bytes alone, and leaves digests as they were, so that a host that checks them cannot be deceived. */
  readonly detectable: boolean;
}

/** A connection to a true target on which some of what it answers is changed. */
export function hostileConnection(random: Random, malice: Malice): RelayedConnection {
  let received = Buffer.alloc(0);
  let seen = 0;
  let isCut = false;
  const chosen = random.below(USUAL_PDUS);
  const again = random.chance(0.3) ? random.below(USUAL_PDUS) : -1;
  const change = (pdu: Buffer): Buffer[] => {
    if (malice.detectable) {
      // Only the handshake has no digest.
      return pdu[0] === PduType.icResp ? [pdu] : [mutateBytes(pdu, random, true)];
    }
    const changed = mutateOne(pdu, random, malice.digests);
    if (changed === undefined) isCut = true;
    return changed ?? [];
  };
  return {
    get isCut() {
      return isCut;
    },
    toTarget: (chunk) => [chunk],
    toHost: (chunk) => {
      const { pdus, rest } = splitPdus(Buffer.concat([received, chunk]));
      received = Buffer.from(rest);
      return pdus.flatMap((pdu) => {
        const index = seen++;
        return index === chosen || index === again ? change(pdu) : [pdu];
      });
    },
  };
}

/** Undefined when the connection is to be cut. */
function mutateOne(pdu: Buffer, random: Random, digests: Digests): Buffer[] | undefined {
  const seal = (changed: Buffer): Buffer => {
    if (random.chance(0.8)) sealPdu(changed, digests);
    return changed;
  };
  switch (random.below(9)) {
    case 0:
      return undefined;
    case 1:
      return [];
    case 2:
      return Array.from({ length: random.pick([2, 3, 500]) }, () => pdu);
    case 3:
      return [pdu.subarray(0, random.below(pdu.length))];
    case 4:
      return [random.bytes(1 + random.below(200)), pdu];
    case 5:
      return [mutateBytes(pdu, random)];
    case 6:
      return [seal(mutateBytes(pdu, random, true))];
    default:
      return [seal(mutateHeader(pdu, random))];
  }
}
