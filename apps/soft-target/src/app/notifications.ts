import { BdevEvent, type BdevRegistry } from '../bdev/bdev.js';
import { decodeObject, opt, uint } from '../rpc/decode.js';
import { method, type MethodTable } from '../rpc/method.js';

interface Notification {
  readonly type: string;
  readonly ctx: string;
  readonly id: number;
}

/** SPDK_NOTIFY_MAX_EVENTS (lib/notify/notify.c): older events are forgotten. */
const KEPT_EVENTS = 1024;

const TYPES = Object.values(BdevEvent);

/** The events of the target's life so far, by rising ids from 0. */
export class NotificationLog {
  private readonly kept: Notification[] = [];
  private nextId = 0;

  add(type: string, ctx: string): void {
    this.kept.push({ type, ctx, id: this.nextId++ });
    if (this.kept.length > KEPT_EVENTS) this.kept.shift();
  }

  /** At most `max` of those kept, oldest first, from id `fromId` on. */
  read(fromId: number, max: number): readonly Notification[] {
    const skipped = Math.max(0, fromId - (this.nextId - this.kept.length));
    return this.kept.slice(skipped, skipped + max);
  }
}

export function notifyMethods(registry: BdevRegistry): MethodTable {
  const notifications = new NotificationLog();
  registry.listen((event, bdev) => {
    notifications.add(event, bdev.name);
  });
  return {
    notify_get_types: method(decodeObject({}), () => TYPES),
    notify_get_notifications: method(
      decodeObject({ id: opt(uint), max: opt(uint) }),
      ({ id = 0, max = KEPT_EVENTS }) => notifications.read(id, max),
    ),
  };
}
