import type { SeenLoop } from '../domain/loop-life.js';

/** Loop devices of the kernel, and the folders that nbdfuse is mounted on. Nothing here touches what a dead path serves. */
export interface LoopDevicesPort {
  list(): readonly SeenLoop[];
  isMounted(folder: string): boolean;
  /** A loop device on the file, with I/O that no cache of the host holds back. */
  bind(file: string, sectorSizeBytes: number, operation: string): Promise<void>;
  /** Takes the device away, or, while it is used, has the kernel do so after its last user. */
  unbind(device: string, operation: string): Promise<void>;
  makeFolder(folder: string): Promise<void>;
  /** Ends a mount; its nbdfuse ends with it. */
  unmount(folder: string, operation: string): Promise<void>;
  removeFolder(folder: string): Promise<void>;
}
