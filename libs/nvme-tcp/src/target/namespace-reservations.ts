import type { NvmeStatus } from '../nvme/status.js';
import { Status } from '../nvme/status.js';
import { permits } from '../reservation/access.js';
import {
  nextReservations,
  type ReservationCommand,
  type ReservationTransition,
} from '../reservation/next.js';
import {
  fromRecord,
  type ReservationRecord,
  type ReservationStore,
  toRecord,
} from '../reservation/record.js';
import { NO_RESERVATIONS, type ReservationState } from '../reservation/state.js';

/**
 * The reservations of one namespace: its state, in memory and in the store. Commands are carried out one after
 * another, and a change is in force, and told of, only once it is stored.
 */
export class NamespaceReservations {
  /** Reservation Notification Mask: bit n masks the notice of type n, for all hosts. */
  notificationMask = 0;
  private readonly store: ReservationStore | undefined;
  private current: ReservationState = NO_RESERVATIONS;
  /** JSON of the record that the store holds; undefined when that is not known. */
  private stored: string | undefined;
  private loading: Promise<void> | undefined;
  private loaded: boolean;
  private last: Promise<unknown> = Promise.resolve();

  constructor(store: ReservationStore | undefined) {
    this.store = store;
    this.loaded = store === undefined;
  }

  get canPersist(): boolean {
    return this.store !== undefined;
  }

  get state(): ReservationState {
    return this.current;
  }

  /** False until the store was read: what it may hold could forbid any command. */
  get isReady(): boolean {
    return this.loaded;
  }

  /** Reads the store once; after a failure the next call tries again. */
  ready(): Promise<void> {
    if (this.loaded) return Promise.resolve();
    this.loading ??= this.load().finally(() => {
      this.loading = undefined;
    });
    return this.loading;
  }

  permits(hostId: string, opcode: number): boolean {
    return this.current.reservation === undefined || permits(this.current, hostId, opcode);
  }

  /** `inForce` is called as soon as a change is, before any later command sees it. `isWanted` is asked first. */
  execute(
    command: ReservationCommand,
    isWanted: () => boolean,
    inForce: (transition: ReservationTransition) => void,
  ): Promise<NvmeStatus> {
    return this.inTurn(async () => {
      if (!isWanted()) return Status.abortedSqDeletion;
      if (command.persistent === true && !this.canPersist) return Status.invalidField;
      const transition = nextReservations(this.current, command);
      if (transition.status !== Status.success) return transition.status;
      if (!(await this.adopt(transition.state))) return Status.internalError;
      inForce(transition);
      return Status.success;
    });
  }

  /** The Reservation Persistence feature. */
  setPersistent(persistent: boolean): Promise<NvmeStatus> {
    return this.inTurn(async () => {
      if (!this.canPersist) return Status.invalidField;
      const adopted = await this.adopt({ ...this.current, persistent });
      return adopted ? Status.success : Status.internalError;
    });
  }

  /** Resolves when no command is under way. */
  async settled(): Promise<void> {
    await this.last;
  }

  private inTurn(work: () => Promise<NvmeStatus>): Promise<NvmeStatus> {
    const result = this.last.then(async () => {
      try {
        await this.ready();
      } catch {
        // The next command reads the store again; until then nothing is decided on a state that is not known.
        return Status.namespaceNotReady;
      }
      return work();
    });
    this.last = result.catch(() => undefined);
    return result;
  }

  private async load(): Promise<void> {
    const record = await this.store?.load();
    this.current = fromRecord(record);
    this.stored = JSON.stringify(toRecord(this.current));
    this.loaded = true;
  }

  /** False when the store refused; the state stays as it was then. */
  private async adopt(state: ReservationState): Promise<boolean> {
    const record: ReservationRecord = toRecord(state);
    const text = JSON.stringify(record);
    if (this.store !== undefined && text !== this.stored) {
      // Unknown until the store has answered: a save that fails may have been made nevertheless.
      this.stored = undefined;
      try {
        await this.store.save(record);
      } catch {
        return false;
      }
      this.stored = text;
    }
    this.current = state;
    return true;
  }
}
