export interface DeviceUsersPort {
  /** What of this host uses the block device: mounts, other devices, swap, processes. Each as a text for people. */
  usersOf(device: string): Promise<readonly string[]>;
}
