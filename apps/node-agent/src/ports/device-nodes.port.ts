/** The nodes by which users of this host find volumes: symbolic links in a folder of ours. */
export interface DeviceNodesPort {
  /** What it points to; null when there is none. Throws DEVICE_NODE_FOREIGN for anything but a link. */
  read(node: string): string | null;
  /** Made at once, over whatever link is there. */
  point(node: string, device: string): void;
  /** Removes the link if it points to that device, and only then. */
  remove(node: string, device: string): void;
}
