export const NodeState = Object.freeze({
  ready: 'ready',
  suspect: 'suspect',
  down: 'down',
} as const);
export type NodeState = (typeof NodeState)[keyof typeof NodeState];

export interface DiskRecord {
  readonly id: string;
  readonly name: string;
  readonly path: string;
  readonly tags: readonly string[];
  /** The lvol store's UUID. */
  readonly lvsUuid: string;
  readonly capacityBytes: number;
  readonly clusterSizeBytes: number;
}

export interface NodeRecord {
  readonly name: string;
  readonly state: NodeState;
  /** Why the node is in this state, and since when. */
  readonly reason: string;
  readonly since: string;
  /** False: no new replicas are placed here. */
  readonly schedulable: boolean;
  readonly zone: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Address and port of the node's NVMe/TCP listener. */
  readonly traddr: string;
  readonly trsvcid: string;
  readonly frontends: readonly string[];
  /** `soft-target 0.1.0`, `SPDK v26.05` */
  readonly target: string;
  readonly agentVersion: string;
  /** Changes with every start of the agent. */
  readonly agentInstance: string;
  readonly disks: readonly DiskRecord[];
}

export interface DiskView {
  readonly id: string;
  readonly node: string;
  readonly name: string;
  readonly path: string;
  readonly tags: readonly string[];
  readonly capacityBytes: number;
  /** Sum of the sizes of the replicas placed on it, thin or not. */
  readonly scheduledBytes: number;
  readonly availableBytes: number;
  readonly replicas: number;
}

export interface NodeView extends Omit<NodeRecord, 'disks'> {
  readonly disks: readonly DiskView[];
}

/** What placement has promised on one disk: the sum may not pass its capacity. One KV entry a disk. */
export interface AllocationRecord {
  readonly disk: string;
  readonly node: string;
  /** Replica id -> bytes. */
  readonly replicas: Readonly<Record<string, number>>;
}

/** Sent by an agent once a second over core NATS; tells that the node lives and what target it has. */
export interface Heartbeat {
  readonly node: string;
  readonly agentInstance: string;
  readonly sequence: number;
  readonly targetReady: boolean;
}

/** What an agent owns and sees, sent when it changes and at least every 10 s. */
export interface Inventory {
  readonly node: string;
  readonly agentInstance: string;
  readonly replicas: readonly { readonly replica: string; readonly volume: string }[];
  readonly engines: readonly EngineReport[];
}

/** The state of one engine: which of its legs take writes. */
export interface EngineReport {
  readonly volume: string;
  readonly epoch: number;
  /** Replica ids of the legs that the raid still has. */
  readonly operational: readonly string[];
  /** Legs that it was started with and has lost, with the evidence. */
  readonly lost: readonly { readonly replica: string; readonly reason: string }[];
}
