import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { type RootDatabase, open } from 'lmdb';
import type { DigestStorePort, StoredDigests } from '../../ports/digest-store.port.js';

interface Entry {
  readonly sizeBytes: number;
  readonly targetInstance: string;
  /** Deflated: a thin snapshot's digests are mostly the same. */
  readonly digests: Buffer;
}

/** An address range, not memory: 32 MiB a TiB of snapshot at most. */
const MAP_SIZE_BYTES = 4 * 1024 * 1024 * 1024;

/** Digests of snapshots in an LMDB environment of their own, beside the journal: it can be deleted at any time. */
export class LmdbDigests implements DigestStorePort {
  private readonly root: RootDatabase<Entry, string>;
  /** A rebuild reads one snapshot's digests page by page. */
  private last: { readonly lvolUuid: string; readonly stored: StoredDigests } | undefined;

  constructor(path: string) {
    this.root = open<Entry, string>({ path, mapSize: MAP_SIZE_BYTES, encoding: 'msgpack' });
  }

  get(lvolUuid: string): StoredDigests | undefined {
    if (this.last?.lvolUuid === lvolUuid) return this.last.stored;
    const entry = this.root.get(lvolUuid);
    if (entry === undefined) return undefined;
    const stored = { ...entry, digests: inflateRawSync(entry.digests) };
    this.last = { lvolUuid, stored };
    return stored;
  }

  async put(lvolUuid: string, stored: StoredDigests): Promise<void> {
    const digests = deflateRawSync(stored.digests, { level: 1 });
    await this.root.put(lvolUuid, { ...stored, digests });
    this.last = { lvolUuid, stored };
  }

  async retain(lvolUuids: ReadonlySet<string>): Promise<void> {
    const gone = [...this.root.getKeys()].filter((lvolUuid) => !lvolUuids.has(lvolUuid));
    if (this.last !== undefined && !lvolUuids.has(this.last.lvolUuid)) this.last = undefined;
    await Promise.all(gone.map((lvolUuid) => this.root.remove(lvolUuid)));
  }

  async close(): Promise<void> {
    await this.root.close();
  }
}
