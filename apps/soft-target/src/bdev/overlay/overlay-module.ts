import type { Log } from '../../app/log.js';
import { RpcError } from '../../rpc/rpc-error.js';
import { BdevClaim, BdevEvent, type Bdev } from '../bdev.js';
import type { TargetBdevs } from '../registry.js';
import type { OverlayBdev } from './overlay-bdev.js';

export interface OverlayModuleDeps {
  readonly registry: TargetBdevs;
  readonly log: Log;
  /** Claims are held under this name, e.g. `delay`. */
  readonly module: string;
  /** An order outlives the loss of its base, and is carried out again when that comes back. */
  readonly survivesBase: boolean;
}

/** What to make of a base bdev as soon as that is there. */
export interface OverlayOrder<T> {
  /** One order at a time has it. */
  readonly key: string;
  readonly baseName: string;
  readonly make: (base: Bdev) => T;
}

/** Bdevs of one kind that each stand on another one and hold its claim: they come and go with it. */
export class OverlayModule<T extends OverlayBdev> {
  private readonly orders = new Map<string, OverlayOrder<T>>();
  private readonly standing = new Map<Bdev, { readonly overlay: T; readonly key: string }>();

  constructor(private readonly deps: OverlayModuleDeps) {
    deps.registry.listen((event, bdev) => {
      if (event === BdevEvent.register) this.appeared(bdev);
      if (event === BdevEvent.unregister) this.disappeared(bdev);
    });
  }

  /** Carries the order out at once, or when a bdev of the base's name appears. */
  create(order: OverlayOrder<T>): void {
    if (this.orders.has(order.key)) throw RpcError.errno('EEXIST');
    this.orders.set(order.key, order);
    const base = this.deps.registry.find(order.baseName);
    try {
      if (base !== undefined) this.build(order, base);
    } catch (error) {
      this.orders.delete(order.key);
      throw error;
    }
  }

  find(name: string): T | undefined {
    const bdev = this.deps.registry.find(name);
    return bdev === undefined ? undefined : this.standing.get(bdev)?.overlay;
  }

  /** Resolves when its last I/O has ended. An order that still waits for its base is not found, as in SPDK. */
  async delete(name: string): Promise<void> {
    const overlay = this.find(name);
    const key = overlay === undefined ? undefined : this.standing.get(overlay)?.key;
    if (overlay === undefined || key === undefined) throw RpcError.errno('ENODEV');
    this.orders.delete(key);
    await this.deps.registry.remove(overlay);
    await overlay.retire();
  }

  private build(order: OverlayOrder<T>, base: Bdev): void {
    const { registry, module } = this.deps;
    const overlay = order.make(base);
    const user = `${module} ${overlay.name}`;
    // Two overlays of one module do not share a base either.
    if (registry.claimOf(base) !== undefined) throw RpcError.errno('EPERM');
    registry.claim(base, user, BdevClaim.exclusiveWrite);
    this.standing.set(overlay, { overlay, key: order.key });
    try {
      registry.register(overlay);
    } catch (error) {
      this.standing.delete(overlay);
      registry.release(base, user);
      throw error;
    }
  }

  private appeared(bdev: Bdev): void {
    for (const order of this.orders.values()) {
      const isBuilt = [...this.standing.values()].some(({ key }) => key === order.key);
      if (order.baseName !== bdev.name || isBuilt) continue;
      try {
        this.build(order, bdev);
      } catch (error) {
        this.deps.log.warning('bdev not made on its base', {
          module: this.deps.module,
          base: bdev.name,
          error: (error as Error).message,
        });
      }
    }
  }

  private disappeared(bdev: Bdev): void {
    const { registry, module, survivesBase, log } = this.deps;
    const gone = this.standing.get(bdev);
    if (gone !== undefined) {
      this.standing.delete(bdev);
      if (!survivesBase) this.orders.delete(gone.key);
      registry.release(gone.overlay.base, `${module} ${gone.overlay.name}`);
    }
    for (const { overlay } of this.standing.values()) {
      if (overlay.base !== bdev) continue;
      registry
        .remove(overlay)
        .then(() => overlay.retire())
        .catch((error: unknown) =>
          log.warning('bdev not removed with its base', {
            bdev: overlay.name,
            error: String(error),
          }),
        );
    }
  }
}
