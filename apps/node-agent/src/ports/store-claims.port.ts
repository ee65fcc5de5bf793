/** Asks the services whether a store that was found is this node's to take up. */
export interface StoreClaimsPort {
  /** Rejects with DISK_TAKEN when it is not, and with an error that may pass while nobody can tell. */
  claim(disk: string, lvsUuid: string): Promise<void>;
}
