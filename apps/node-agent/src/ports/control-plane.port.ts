import type {
  ClaimStoreRequest,
  EngineReportRequest,
  Heartbeat,
  Inventory,
  NodeRecord,
  NodeRegistration,
  ProgressReport,
} from '@lariat/contracts';

/** What the agent tells the services. */
export interface ControlPlanePort {
  /** Answers what is on record of the node then. */
  register(registration: NodeRegistration): Promise<NodeRecord>;
  /** Resolves when the store is this node's to take up; DISK_TAKEN when it is not. */
  claimStore(request: ClaimStoreRequest): Promise<void>;
  /** Resolves once the volume's record holds the loss (invariant 4). */
  reportEngine(report: EngineReportRequest): Promise<void>;
  /** Fire and forget: a lost one is made up for by the next. */
  heartbeat(heartbeat: Heartbeat): void;
  inventory(inventory: Inventory): void;
  progress(operation: string, report: ProgressReport): void;
}

export const CONTROL_PLANE = Symbol('CONTROL_PLANE');
