/** What was read of a snapshot, so that it need not be read again. */
export interface StoredDigests {
  readonly sizeBytes: number;
  /** The life of the target in which it was read. */
  readonly targetInstance: string;
  /** 32 bytes a cluster. */
  readonly digests: Buffer;
}

/** Digests of snapshots by the uuid of their lvol: its content never changes. A cache: what is lost is read anew. */
export interface DigestStorePort {
  get(lvolUuid: string): StoredDigests | undefined;
  put(lvolUuid: string, stored: StoredDigests): Promise<void>;
  /** Forgets all lvols but these. */
  retain(lvolUuids: ReadonlySet<string>): Promise<void>;
  close(): Promise<void>;
}
