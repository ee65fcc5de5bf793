/**
 * The messages of csi.proto that are used, as proto-loader gives them: names in camel case, 64-bit numbers as decimal texts,
 * enums by name, a message that was not sent as null.
 */
export interface CapacityRange {
  readonly requiredBytes: string;
  readonly limitBytes: string;
}

export type AccessModeName =
  | 'UNKNOWN'
  | 'SINGLE_NODE_WRITER'
  | 'SINGLE_NODE_READER_ONLY'
  | 'MULTI_NODE_READER_ONLY'
  | 'MULTI_NODE_SINGLE_WRITER'
  | 'MULTI_NODE_MULTI_WRITER'
  | 'SINGLE_NODE_SINGLE_WRITER'
  | 'SINGLE_NODE_MULTI_WRITER';

export interface MountVolume {
  readonly fsType: string;
  readonly mountFlags: readonly string[];
  readonly volumeMountGroup: string;
}

export interface VolumeCapability {
  readonly block?: Readonly<Record<string, never>> | null;
  readonly mount?: MountVolume | null;
  readonly accessMode: { readonly mode: AccessModeName } | null;
}

export type Texts = Readonly<Record<string, string>>;

export interface VolumeContentSource {
  readonly snapshot?: { readonly snapshotId: string } | null;
  readonly volume?: { readonly volumeId: string } | null;
}

export interface Topology {
  readonly segments: Texts;
}

export interface CsiVolume {
  readonly capacityBytes: string;
  readonly volumeId: string;
  readonly volumeContext: Texts;
  readonly contentSource?: VolumeContentSource;
}

export interface CsiSnapshot {
  readonly sizeBytes: string;
  readonly snapshotId: string;
  readonly sourceVolumeId: string;
  readonly creationTime: { readonly seconds: string; readonly nanos: number };
  readonly readyToUse: boolean;
  readonly groupSnapshotId?: string;
}

export interface CsiGroupSnapshot {
  readonly groupSnapshotId: string;
  readonly snapshots: readonly CsiSnapshot[];
  readonly creationTime: CsiSnapshot['creationTime'];
  readonly readyToUse: boolean;
}

export interface VolumeCondition {
  readonly abnormal: boolean;
  readonly message: string;
}

export interface VolumeStatus {
  readonly publishedNodeIds: readonly string[];
  readonly volumeCondition: VolumeCondition;
}

type Empty = Readonly<Record<string, never>>;

/** Request and answer of each call that is served, by service and name. */
export interface IdentityCalls {
  GetPluginInfo: { request: Empty; answer: { name: string; vendorVersion: string } };
  GetPluginCapabilities: { request: Empty; answer: { capabilities: readonly object[] } };
  Probe: { request: Empty; answer: { ready: { value: boolean } } };
}

export interface ListEntry {
  readonly volume: CsiVolume;
  readonly status: VolumeStatus;
}

export interface ControllerCalls {
  ControllerGetCapabilities: { request: Empty; answer: { capabilities: readonly object[] } };
  CreateVolume: {
    request: {
      readonly name: string;
      readonly capacityRange: CapacityRange | null;
      readonly volumeCapabilities: readonly VolumeCapability[];
      readonly parameters: Texts;
      readonly volumeContentSource: VolumeContentSource | null;
      readonly mutableParameters: Texts;
    };
    answer: { volume: CsiVolume };
  };
  DeleteVolume: { request: { readonly volumeId: string }; answer: Empty };
  ControllerPublishVolume: {
    request: {
      readonly volumeId: string;
      readonly nodeId: string;
      readonly volumeCapability: VolumeCapability | null;
      readonly readonly: boolean;
      readonly volumeContext: Texts;
    };
    answer: { publishContext: Texts };
  };
  ControllerUnpublishVolume: {
    request: { readonly volumeId: string; readonly nodeId: string };
    answer: Empty;
  };
  ValidateVolumeCapabilities: {
    request: {
      readonly volumeId: string;
      readonly volumeContext: Texts;
      readonly volumeCapabilities: readonly VolumeCapability[];
      readonly parameters: Texts;
      readonly mutableParameters: Texts;
    };
    answer: { confirmed?: object; message: string };
  };
  ListVolumes: {
    request: { readonly maxEntries: number; readonly startingToken: string };
    answer: { entries: readonly ListEntry[]; nextToken: string };
  };
  GetCapacity: {
    request: {
      readonly volumeCapabilities: readonly VolumeCapability[];
      readonly parameters: Texts;
      readonly accessibleTopology: Topology | null;
    };
    answer: { availableCapacity: string; maximumVolumeSize: { value: string } };
  };
  CreateSnapshot: {
    request: {
      readonly sourceVolumeId: string;
      readonly name: string;
      readonly parameters: Texts;
    };
    answer: { snapshot: CsiSnapshot };
  };
  DeleteSnapshot: { request: { readonly snapshotId: string }; answer: Empty };
  ListSnapshots: {
    request: {
      readonly maxEntries: number;
      readonly startingToken: string;
      readonly sourceVolumeId: string;
      readonly snapshotId: string;
    };
    answer: { entries: readonly { readonly snapshot: CsiSnapshot }[]; nextToken: string };
  };
  GetSnapshot: {
    request: { readonly snapshotId: string };
    answer: { snapshot: CsiSnapshot };
  };
  ControllerExpandVolume: {
    request: {
      readonly volumeId: string;
      readonly capacityRange: CapacityRange | null;
      readonly volumeCapability: VolumeCapability | null;
    };
    answer: { capacityBytes: string; nodeExpansionRequired: boolean };
  };
  ControllerGetVolume: { request: { readonly volumeId: string }; answer: ListEntry };
  ControllerModifyVolume: {
    request: { readonly volumeId: string; readonly mutableParameters: Texts };
    answer: Empty;
  };
}

export interface GroupControllerCalls {
  GroupControllerGetCapabilities: { request: Empty; answer: { capabilities: readonly object[] } };
  CreateVolumeGroupSnapshot: {
    request: {
      readonly name: string;
      readonly sourceVolumeIds: readonly string[];
      readonly parameters: Texts;
    };
    answer: { groupSnapshot: CsiGroupSnapshot };
  };
  DeleteVolumeGroupSnapshot: {
    request: { readonly groupSnapshotId: string; readonly snapshotIds: readonly string[] };
    answer: Empty;
  };
  GetVolumeGroupSnapshot: {
    request: { readonly groupSnapshotId: string; readonly snapshotIds: readonly string[] };
    answer: { groupSnapshot: CsiGroupSnapshot };
  };
}

export interface NodeCalls {
  NodeGetCapabilities: { request: Empty; answer: { capabilities: readonly object[] } };
  NodeGetInfo: {
    request: Empty;
    answer: { nodeId: string; maxVolumesPerNode: string; accessibleTopology: Topology };
  };
  NodeStageVolume: {
    request: {
      readonly volumeId: string;
      readonly publishContext: Texts;
      readonly stagingTargetPath: string;
      readonly volumeCapability: VolumeCapability | null;
      readonly volumeContext: Texts;
      readonly secrets: Texts;
    };
    answer: Empty;
  };
  NodeUnstageVolume: {
    request: { readonly volumeId: string; readonly stagingTargetPath: string };
    answer: Empty;
  };
  NodePublishVolume: {
    request: {
      readonly volumeId: string;
      readonly publishContext: Texts;
      readonly stagingTargetPath: string;
      readonly targetPath: string;
      readonly volumeCapability: VolumeCapability | null;
      readonly readonly: boolean;
      readonly volumeContext: Texts;
    };
    answer: Empty;
  };
  NodeUnpublishVolume: {
    request: { readonly volumeId: string; readonly targetPath: string };
    answer: Empty;
  };
  NodeGetVolumeStats: {
    request: {
      readonly volumeId: string;
      readonly volumePath: string;
      readonly stagingTargetPath: string;
    };
    answer: {
      usage: readonly {
        readonly unit: 'BYTES' | 'INODES';
        readonly available: string;
        readonly total: string;
        readonly used: string;
      }[];
      volumeCondition: VolumeCondition;
    };
  };
  NodeExpandVolume: {
    request: {
      readonly volumeId: string;
      readonly volumePath: string;
      readonly capacityRange: CapacityRange | null;
      readonly stagingTargetPath: string;
      readonly volumeCapability: VolumeCapability | null;
      readonly secrets: Texts;
    };
    answer: { capacityBytes: string };
  };
}

export interface ServiceCalls {
  Identity: IdentityCalls;
  Controller: ControllerCalls;
  GroupController: GroupControllerCalls;
  Node: NodeCalls;
}

export type ServiceName = keyof ServiceCalls;

/** What a caller still waits for. */
export interface CallScope {
  /** Milliseconds that are left for the answer. */
  leftMs(): number;
  /** Aborted when the caller has gone. */
  readonly signal: AbortSignal;
}

/** The calls of one service, each as a function of its request. */
export type HandlersOf<Calls> = {
  readonly [Name in keyof Calls]: (
    request: Calls[Name] extends { request: infer Request } ? Request : never,
    scope: CallScope,
  ) => Promise<Calls[Name] extends { answer: infer Answer } ? Answer : never>;
};
