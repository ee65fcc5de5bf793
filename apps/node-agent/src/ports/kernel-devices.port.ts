import type { NvmfEndpoint } from '@lariat/contracts';
import type { SeenController, SeenDm, SeenNamespace } from '../domain/dm-life.js';

export interface DmTable {
  /** `/dev/nvme4n1`, or null for one that gives nothing but errors. */
  readonly over: string | null;
  readonly sizeBytes: number;
}

/** The kernel's NVMe host. */
export interface KernelNvmePort {
  controllers(): readonly SeenController[];
  namespaces(): readonly SeenNamespace[];
  connect(endpoint: NvmfEndpoint, hostNqn: string, operation: string): Promise<void>;
  /** Keeps discards from the namespace: a device that is made on it from now on takes none. */
  refuseDiscards(device: string): void;
  /** Ends one connection; what is in flight on it ends with errors. */
  disconnect(controller: string, operation: string): Promise<void>;
}

/** Device-mapper devices, addressed by uuid alone. */
export interface DeviceMapperPort {
  list(): readonly SeenDm[];
  create(name: string, uuid: string, table: DmTable, operation: string): Promise<void>;
  /** Holds what comes from now on, once what is in flight has ended; again, it changes nothing. */
  suspend(uuid: string, operation: string): Promise<void>;
  /** Holds I/O, gives the device another table, and lets I/O go on. What is in flight must be able to end. */
  reload(uuid: string, table: DmTable, operation: string): Promise<void>;
  resume(uuid: string, operation: string): Promise<void>;
  /** Takes the device away, or, while it is used, has the kernel do so after its last user. */
  remove(uuid: string, operation: string): Promise<void>;
}
