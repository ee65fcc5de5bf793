import {
  encodeReservationNotification,
  RESERVATION_NOTIFICATION_LENGTH,
  type ReservationLogEntry,
} from '../nvme/reservation-wire.js';
import type { ReservationNotice } from '../reservation/next.js';

/** The page tells of at most 255 further ones, so no more are kept. */
const ENTRIES_MAX = 256;

/** The Reservation Notification log pages of one controller that its host has not read; the oldest comes first. */
export class ReservationLog {
  private readonly entries: ReservationLogEntry[] = [];
  private count = 0;

  get isEmpty(): boolean {
    return this.entries.length === 0;
  }

  /** When the log is full the oldest is dropped; the host sees the gap in the counts. */
  add(nsid: number, notice: ReservationNotice): void {
    this.count += 1;
    if (this.entries.length === ENTRIES_MAX) this.entries.shift();
    this.entries.push({ count: this.count, notice, nsid });
  }

  /** The oldest page. It is gone once its end has been read, whether or not the event is retained. */
  read(offset: number, length: number): Buffer {
    const page = encodeReservationNotification(
      this.entries[0],
      Math.max(0, this.entries.length - 1),
    );
    if (offset + length >= RESERVATION_NOTIFICATION_LENGTH) this.entries.shift();
    return page;
  }
}
