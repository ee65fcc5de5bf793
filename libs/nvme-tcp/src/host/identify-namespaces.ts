import { createHash } from 'node:crypto';
import type { IdentifyController } from '../nvme/identify-controller.js';
import {
  IdentifyCns,
  type NamespaceIdentifiers,
  readIdentifyNamespace,
  readNamespaceDescriptors,
  readNamespaceList,
} from '../nvme/identify-namespace.js';
import { AnaState, LogPage, readAnaStates } from '../nvme/log-page.js';
import { formatUuid } from '../nvme/text.js';
import type { AdminQueue } from './admin-queue.js';
import { LinkError, NvmeCommandError } from './host-error.js';

/** What is known of a namespace at one moment. */
export interface NamespaceIdentity {
  readonly nsid: number;
  readonly uuid: string;
  /** 32 hexadecimal digits, zeros for none. */
  readonly nguid: string;
  readonly blockSizeBytes: number;
  readonly sizeBytes: number;
  readonly anaState: number;
}

const LIST_ENTRIES = 1024;
/** Bounds what a faulty controller can make the host keep. */
const NAMESPACES_MAX = 16_384;
const BLOCK_BYTES_MIN = 512;
const BLOCK_BYTES_MAX = 65_536;
const ANA_GROUPS_ONLY = 1;
const ANA_LOG_MAX_GROUPS = 1024;
/** Well below the 31 commands that the admin queue takes. */
const IDENTIFY_CONCURRENCY = 8;

/** All active namespaces, by their ids. */
export async function identifyNamespaces(
  admin: AdminQueue,
  controller: IdentifyController,
): Promise<readonly NamespaceIdentity[]> {
  const nsids: number[] = [];
  for (let after = 0; ;) {
    const page = readNamespaceList(await admin.identify(IdentifyCns.activeNamespaces, after));
    nsids.push(...page);
    if (!isAscending([after, ...page]) || nsids.length > NAMESPACES_MAX) {
      throw new LinkError(
        `the controller lists namespaces out of order, or more than ${NAMESPACES_MAX} of them`,
      );
    }
    if (page.length < LIST_ENTRIES) break;
    after = page.at(-1) ?? 0;
  }
  const anaStates = await readAna(admin, controller);
  const found: NamespaceIdentity[] = [];
  for (let index = 0; index < nsids.length; index += IDENTIFY_CONCURRENCY) {
    const some = nsids.slice(index, index + IDENTIFY_CONCURRENCY);
    const identities = await Promise.all(
      some.map((nsid) => identifyNamespace(admin, controller, nsid, anaStates)),
    );
    found.push(...identities.filter((identity) => identity !== undefined));
  }
  return found;
}

/** State by ANA group; empty when the controller reports none. Lets the next ANA change event come. */
export async function readAna(
  admin: AdminQueue,
  controller: IdentifyController,
): Promise<ReadonlyMap<number, number>> {
  if (!controller.anaReporting) return new Map();
  const groups = Math.min(ANA_LOG_MAX_GROUPS, Math.max(1, controller.maxNamespaces));
  return readAnaStates(await admin.logPage(LogPage.ana, 16 + groups * 32, ANA_GROUPS_ONLY));
}

async function identifyNamespace(
  admin: AdminQueue,
  controller: IdentifyController,
  nsid: number,
  anaStates: ReadonlyMap<number, number>,
): Promise<NamespaceIdentity | undefined> {
  try {
    const data = readIdentifyNamespace(await admin.identify(IdentifyCns.namespace, nsid));
    // Zeros: it was removed after the list was read.
    if (data.sizeBlocks === 0) return undefined;
    // A format that no block device can be made of, or a size that no offset reaches the end of.
    const { blockSizeBytes } = data;
    if (blockSizeBytes < BLOCK_BYTES_MIN || blockSizeBytes > BLOCK_BYTES_MAX) return undefined;
    if (!Number.isSafeInteger(data.sizeBlocks * blockSizeBytes)) return undefined;
    const identifiers = readNamespaceDescriptors(
      await admin.identify(IdentifyCns.namespaceDescriptors, nsid),
    );
    return {
      nsid,
      uuid: uuidOf(identifiers, controller, nsid),
      nguid: (identifiers.nguid ?? data.nguid).toString('hex'),
      blockSizeBytes: data.blockSizeBytes,
      sizeBytes: data.sizeBlocks * data.blockSizeBytes,
      anaState: anaStates.get(data.anaGroupId) ?? AnaState.optimized,
    };
  } catch (error) {
    if (error instanceof NvmeCommandError) return undefined;
    throw error;
  }
}

/** A namespace without a UUID gets one from its NGUID, or else from where it is. */
function uuidOf(
  identifiers: NamespaceIdentifiers,
  controller: IdentifyController,
  nsid: number,
): string {
  const bytes =
    identifiers.uuid ??
    identifiers.nguid ??
    createHash('sha256').update(`${controller.subsystemNqn} ${nsid}`).digest().subarray(0, 16);
  return formatUuid(bytes);
}

function isAscending(nsids: readonly number[]): boolean {
  return nsids.every((nsid, index) => index === 0 || nsid > (nsids[index - 1] ?? 0));
}
