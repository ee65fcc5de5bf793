import type { Frontend, NvmfEndpoint, VolumeQos } from '@lariat/contracts';

/**
 * What the agent owns on its machine (invariant 1). A record is durable before its thing is made and goes
 * after the thing is confirmed gone; deletion sets are read from here, never from what a target lists.
 */
interface OwnedCommon {
  /** Unique within its kind: alias of an lvol, NQN of a subsystem, name of a controller or raid. */
  readonly name: string;
  /** Null while it is being made and the target has not yet told its uuid. */
  readonly uuid: string | null;
  /** Replica, volume or disk id, or an image's copy: `imageCopyOwner`. */
  readonly owner: string;
  readonly volume: string | null;
  /** The operation that made it. */
  readonly operation: string;
  readonly epoch: number | null;
}

export interface OwnedDisk extends OwnedCommon {
  readonly kind: 'disk';
  readonly params: {
    readonly diskName: string;
    readonly path: string;
    readonly tags: readonly string[];
    /** Size of the file that the agent itself made; null for a device or file that was there. */
    readonly madeSizeBytes: number | null;
    /** UUID of the AIO bdev, chosen before it is made. */
    readonly bdevUuid: string;
    readonly capacityBytes: number;
    readonly clusterSizeBytes: number;
    /** The disk was found blank, or was given up by its user: what is on it while `uuid` is null is our own. */
    readonly formatBegun?: boolean;
    /** Its store is being deleted: one that is missing then is not lost. */
    readonly removing?: boolean;
  };
}

/**
 * base: was a snapshot of a replica that is gone, and stays beneath the clones that share it. image-draft, image: a copy
 * of an image while it is written, and once it is sealed.
 */
export type LvolRole = 'head' | 'snapshot' | 'scratch' | 'base' | 'image-draft' | 'image';

export interface OwnedLvol extends OwnedCommon {
  readonly kind: 'lvol';
  readonly params: {
    readonly disk: string;
    readonly lvolName: string;
    readonly role: LvolRole;
    readonly snapshot: string | null;
    readonly sizeBytes: number;
    /** Controller that brings the external parent of a head under rebuild; null once it stands alone. */
    readonly sourceController: string | null;
    /** While a revert is under way: `uuid` is the old head's, and it is being replaced by a clone of this. */
    readonly revertTo: string | null;
    /** The last growth: who asked for it, and the size before. Only that operation may take it back. */
    readonly grown?: { readonly operation: string; readonly fromBytes: number };
    /** The image that it is a copy of; missing: it is a replica's. */
    readonly image?: string;
    /** Of a scratch: the most that may be written to it a second. Missing, or 0: no limit. */
    readonly writeMibPerSecond?: number;
  };
}

export type ExportRole =
  | 'replica'
  | 'snapshot'
  | 'scratch'
  | 'volume'
  | 'checksum'
  | 'image-draft'
  | 'image';

/** Its uuid is its namespace's. */
export interface OwnedSubsystem extends OwnedCommon {
  readonly kind: 'subsystem';
  readonly params: {
    readonly role: ExportRole;
    readonly bdevName: string;
    readonly hosts: readonly string[];
    /**
     * Of a volume that was attached when `nvmf` had no list of hosts: true lets any host in, until it is attached anew. Nothing
     * sets it.
     */
    readonly allowAnyHost?: boolean;
    /** Of a snapshot's: those of the hosts that read it beside a rebuild. Missing: none, it is a rebuild's alone. */
    readonly readers?: readonly string[];
    /** With `readers`: whether a rebuild reads it as well. */
    readonly isRebuilds?: boolean;
  };
}

export type ControllerRole = 'leg' | 'source' | 'copy';

/** Its uuid is that of the namespace it brings. */
export interface OwnedController extends OwnedCommon {
  readonly kind: 'controller';
  readonly params: {
    readonly role: ControllerRole;
    readonly replica: string;
    readonly endpoint: NvmfEndpoint;
    readonly hostNqn: string;
    /** The shallow copy that runs through it, of which lvol, and in which life of the target. */
    readonly copy: {
      readonly layer: string;
      readonly operationId: number;
      readonly targetInstance: string;
    } | null;
  };
}

/**
 * member: takes all writes. joining: being added. leaving: being taken out on request. lost: gone on positive
 * evidence, not yet accepted by the volume's record.
 */
export type LegState = 'member' | 'joining' | 'leaving' | 'lost';

export interface OwnedLeg {
  readonly replica: string;
  /** Null: this node's own lvol. */
  readonly endpoint: NvmfEndpoint | null;
  readonly bdevName: string;
  readonly uuid: string;
  readonly state: LegState;
  /** Why it is lost. */
  readonly reason: string | null;
}

export interface OwnedRaid extends OwnedCommon {
  readonly kind: 'raid';
  readonly epoch: number;
  readonly params: {
    readonly sizeBytes: number;
    readonly legs: readonly OwnedLeg[];
    /** Missing: none were ever asked for. */
    readonly qos?: VolumeQos;
    /** The write gate that was closed last; milliseconds since 1970. */
    readonly gate: { readonly id: string; readonly untilMs: number } | null;
  };
}

export interface OwnedFrontend extends OwnedCommon {
  readonly kind: 'frontend';
  readonly epoch: number;
  readonly params: {
    readonly frontend: Frontend;
    readonly endpoint: NvmfEndpoint;
    readonly socketPath: string | null;
    /** Of the volume, for a block device; missing: the frontend is none. */
    readonly blockSizeBytes?: number;
    /** The life of the machine whose own kernel is the host that writes; missing: it is none, or has not connected. */
    readonly bootId?: string;
    /** Null until the process has been started. */
    readonly process: { readonly pid: number; readonly startTime: number } | null;
  };
}

/**
 * One life of the block device of a volume: nbdfuse on a folder of its own, and a loop device on its file. Its name is
 * `<volume>.<epoch>.<life>`; a device whose path has died is replaced by one of another life.
 */
export interface OwnedLoop extends OwnedCommon {
  readonly kind: 'loop';
  readonly volume: string;
  readonly epoch: number;
  readonly params: {
    /** Where nbdfuse is mounted; its path tells the device from all others. */
    readonly folder: string;
    readonly socketPath: string;
    readonly sectorSizeBytes: number;
    /** The device node by which users find it. */
    readonly node: string;
    /** What we have made, or are about to make, the node point to. */
    readonly pointedAt: string | null;
    /** nbdfuse; null until it has been started. */
    readonly process: ProcessId | null;
    /** The NBD server that nbdfuse is connected to: it can't go on with another one. */
    readonly server: ProcessId | null;
    /** No one wants it any more. forced: its users, if there are any, get errors. Null: it is wanted. */
    readonly leaving: 'unused' | 'forced' | null;
  };
}

/** What is written to a device is held, so that nothing changes beneath it meanwhile (docs/adr/0039). */
export interface DeviceHold {
  readonly gate: string;
  /** Milliseconds since 1970; after that it is let go of, whoever holds it. */
  readonly untilMs: number;
  /** False until the kernel is known to hold it. */
  readonly isClosed: boolean;
}

/**
 * One life of the block device of a volume: a connection of the kernel's NVMe host, and a device-mapper device on the
 * namespace. Its name is `<volume>.<epoch>.<life>`, and the device's uuid is made of it: `dmUuid`.
 */
export interface OwnedDm extends OwnedCommon {
  readonly kind: 'dm';
  readonly volume: string;
  readonly epoch: number;
  readonly params: {
    readonly endpoint: NvmfEndpoint;
    readonly hostNqn: string;
    /** The device node by which users find it. */
    readonly node: string;
    /** What we have made, or are about to make, the node point to. */
    readonly pointedAt: string | null;
    /** It has been given the table of errors: a table over a namespace that is gone looks the same in /sys. */
    readonly isFailed?: boolean;
    /** Missing, or null: what is written goes through. */
    readonly held?: DeviceHold | null;
    /** The kernel has been told to take the device away once nothing uses it. */
    readonly isRemoving: boolean;
    /** No one wants it any more. forced: its users, if there are any, get errors. Null: it is wanted. */
    readonly leaving: 'unused' | 'forced' | null;
  };
}

/** One life of a block device on the host. */
export type OwnedDevice = OwnedLoop | OwnedDm;

export interface ProcessId {
  readonly pid: number;
  readonly startTime: number;
}

export type Owned =
  | OwnedDisk
  | OwnedLvol
  | OwnedSubsystem
  | OwnedController
  | OwnedRaid
  | OwnedFrontend
  | OwnedLoop
  | OwnedDm;
export type OwnedKind = Owned['kind'];
export type OwnedOf<Kind extends OwnedKind> = Extract<Owned, { readonly kind: Kind }>;

export const OWNED_KINDS: readonly OwnedKind[] = [
  'disk',
  'lvol',
  'subsystem',
  'controller',
  'raid',
  'frontend',
  'loop',
  'dm',
];

/**
 * The owner of an image's copy on a disk. No id has a slash, so no deletion set of a replica or a volume, which is
 * enumerated by owner, can ever name what belongs to an image (S0).
 */
export const imageCopyOwner = (image: string, disk: string): string => `image/${image}/${disk}`;

/** Whether it is an image's copy, and no replica's. */
export const isOfImage = ({ params }: OwnedLvol): boolean =>
  params.role === 'image' || params.role === 'image-draft';
