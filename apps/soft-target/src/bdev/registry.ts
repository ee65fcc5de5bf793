import { RpcError } from '../rpc/rpc-error.js';
import { BdevClaim, BdevEvent, type Bdev, type BdevListener, type BdevRegistry } from './bdev.js';
import { MeteredBdev } from './metered-bdev.js';

interface Entry {
  readonly bdev: Bdev;
  aliases: readonly string[];
  readonly claims: Map<string, BdevClaim>;
}

/** Looks at a new bdev for something of its module's on it, e.g. an lvol store. */
export type Examiner = (bdev: Bdev) => Promise<void>;

/** Ends what a module has on a bdev that was removed; the bdev's own resources outlive it. */
export type Teardown = (bdev: Bdev) => Promise<void>;

/** The bdevs of one target. */
export class TargetBdevs implements BdevRegistry {
  private readonly entries = new Map<Bdev, Entry>();
  private readonly byName = new Map<string, Bdev>();
  private readonly listeners = new Set<BdevListener>();
  private readonly examiners: Examiner[] = [];
  private readonly teardowns: Teardown[] = [];
  private readonly tearingDown = new Map<Bdev, Promise<void>>();
  private readonly examining = new Set<Promise<void>>();
  /** A listener may register or remove bdevs itself; all listeners see all events in one order. */
  private readonly events: (readonly [BdevEvent, Bdev])[] = [];
  private delivering = false;

  register(bdev: Bdev): void {
    if (bdev.name === '') throw RpcError.errno('EINVAL');
    for (const name of namesOf(bdev, bdev.aliases)) {
      if (this.byName.has(name)) throw RpcError.errno('EEXIST');
    }
    this.entries.set(bdev, { bdev, aliases: bdev.aliases, claims: new Map() });
    for (const name of namesOf(bdev, bdev.aliases)) this.byName.set(name, bdev);
    this.announce(BdevEvent.register, bdev);
    for (const examiner of this.examiners) this.track(examiner(bdev));
  }

  unregister(bdev: Bdev): void {
    const entry = this.entries.get(bdev);
    if (entry === undefined) return;
    this.entries.delete(bdev);
    for (const name of namesOf(bdev, entry.aliases)) this.byName.delete(name);
    this.announce(BdevEvent.unregister, bdev);
    const ended = Promise.all(this.teardowns.map((teardown) => teardown(bdev)));
    this.tearingDown.set(
      bdev,
      ended.then(() => undefined).finally(() => this.tearingDown.delete(bdev)),
    );
  }

  async remove(bdev: Bdev): Promise<void> {
    this.unregister(bdev);
    await this.tearingDown.get(bdev);
  }

  resized(bdev: Bdev): void {
    if (this.entries.has(bdev)) this.announce(BdevEvent.resize, bdev);
  }

  setAliases(bdev: Bdev, aliases: readonly string[]): void {
    const entry = this.entries.get(bdev);
    if (entry === undefined) return;
    for (const alias of aliases) {
      const owner = this.byName.get(alias);
      if (owner !== undefined && owner !== bdev) throw RpcError.errno('EEXIST');
    }
    for (const name of namesOf(bdev, entry.aliases)) this.byName.delete(name);
    entry.aliases = [...aliases];
    if (bdev instanceof MeteredBdev) bdev.aliases = entry.aliases;
    for (const name of namesOf(bdev, aliases)) this.byName.set(name, bdev);
  }

  find(nameOrAliasOrUuid: string): Bdev | undefined {
    return this.byName.get(nameOrAliasOrUuid) ?? this.byName.get(nameOrAliasOrUuid.toLowerCase());
  }

  list(): readonly Bdev[] {
    return [...this.entries.keys()];
  }

  claim(bdev: Bdev, user: string, claim: BdevClaim): void {
    const entry = this.entries.get(bdev);
    if (entry === undefined) throw RpcError.errno('ENODEV');
    for (const [other, held] of entry.claims) {
      if (other === user) continue;
      const compatible = held === BdevClaim.shared && claim === BdevClaim.shared;
      if (!compatible) throw RpcError.errno('EPERM');
    }
    entry.claims.set(user, claim);
  }

  release(bdev: Bdev, user: string): void {
    this.entries.get(bdev)?.claims.delete(user);
  }

  claimOf(bdev: Bdev): { readonly user: string; readonly claim: BdevClaim } | undefined {
    for (const [user, claim] of this.entries.get(bdev)?.claims ?? []) return { user, claim };
    return undefined;
  }

  listen(listener: BdevListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  onExamine(examiner: Examiner): void {
    this.examiners.push(examiner);
  }

  onRemove(teardown: Teardown): void {
    this.teardowns.push(teardown);
  }

  /** Resolves when each bdev registered until now, and those that came of them, has been examined. */
  async examined(): Promise<void> {
    while (this.examining.size > 0) await Promise.all(this.examining);
  }

  private track(work: Promise<void>): void {
    this.examining.add(work);
    void work.finally(() => this.examining.delete(work));
  }

  private announce(event: BdevEvent, bdev: Bdev): void {
    this.events.push([event, bdev]);
    if (this.delivering) return;
    this.delivering = true;
    try {
      for (let next = this.events.shift(); next !== undefined; next = this.events.shift()) {
        for (const listener of this.listeners) listener(...next);
      }
    } finally {
      this.delivering = false;
    }
  }
}

function namesOf(bdev: Bdev, aliases: readonly string[]): ReadonlySet<string> {
  return new Set([bdev.name, bdev.uuid, ...aliases]);
}

/** The bdev, or the -ENODEV that SPDK's methods answer with. */
export function requireBdev(registry: BdevRegistry, name: string): Bdev {
  const bdev = registry.find(name);
  if (bdev === undefined) throw RpcError.errno('ENODEV');
  return bdev;
}
