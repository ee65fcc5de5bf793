import { type Inventory, inventorySubject } from '@lariat/contracts';
import type { Log } from '@lariat/telemetry';
import type { NatsConnection, Subscription } from '@nats-io/nats-core';
import { toldByNode } from './told-by-node.js';

/**
 * Hears the agents' inventories for a reconciler, while its duty is held: one at a time a node, the newest of those that
 * came meanwhile next, and the nodes side by side.
 */
export class InventoryWatch {
  private readonly subscription: Subscription;
  /** Nodes that are being considered, with what they have said since. */
  private readonly waiting = new Map<string, Inventory | null>();
  private active = false;

  constructor(
    connection: NatsConnection,
    private readonly consider: (inventory: Inventory) => Promise<void>,
    private readonly log: Log,
  ) {
    this.subscription = connection.subscribe(inventorySubject('*'), {
      callback: (error, message) => {
        const told = error === null ? toldByNode<Inventory>(message) : undefined;
        if (told !== undefined && this.active) void this.hear(told);
      },
    });
  }

  /** Resolves when the signal aborts. */
  whileHeld(signal: AbortSignal): Promise<void> {
    this.active = true;
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        this.active = false;
        resolve();
      });
    });
  }

  stop(): void {
    this.subscription.unsubscribe();
  }

  private async hear(heard: Inventory): Promise<void> {
    const { node } = heard;
    const isBusy = this.waiting.has(node);
    this.waiting.set(node, isBusy ? heard : null);
    if (isBusy) return;
    let next: Inventory | null = heard;
    while (next !== null) {
      await this.consider(next).catch((error: unknown) =>
        this.log.warn('inventory not considered', { node, error }),
      );
      next = this.waiting.get(node) ?? null;
      this.waiting.set(node, null);
    }
    this.waiting.delete(node);
  }
}
