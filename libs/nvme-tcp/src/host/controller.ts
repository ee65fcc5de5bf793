import { defineStateMachine, delay } from '@lariat/kernel';
import { AsyncNotice } from '../nvme/async-event.js';
import { CHANGED_NAMESPACES_LENGTH, LogPage } from '../nvme/log-page.js';
import {
  readReservationNotification,
  RESERVATION_NOTIFICATION_LENGTH,
} from '../nvme/reservation-wire.js';
import { Association, type AssociationEvents } from './association.js';
import { connectError } from './host-error.js';
import { type HostSettings, hostSettings, type NvmeTcpHostOptions } from './host-options.js';
import { identifyNamespaces } from './identify-namespaces.js';
import { IoDispatcher } from './io-dispatcher.js';
import type { IoRequest } from './io-request.js';
import type { HostNamespace, NamespaceController } from './namespace.js';
import { hasChanges, type NamespaceChanges, NamespaceTable } from './namespace-table.js';
import { TypedEvents } from './typed-events.js';

export type HostControllerState = 'connected' | 'reconnecting' | 'lost' | 'closed';
type HostControllerEvent = 'linkLost' | 'linkUp' | 'giveUp' | 'close';

/** What becomes of a controller after its first connect. */
export const hostControllerMachine = defineStateMachine<HostControllerState, HostControllerEvent>(
  'nvme-tcp host controller',
  {
    connected: { linkLost: 'reconnecting', giveUp: 'lost', close: 'closed' },
    reconnecting: { linkUp: 'connected', giveUp: 'lost', close: 'closed' },
    lost: { close: 'closed' },
    closed: {},
  },
);

export interface HostControllerEvents {
  /** The connection broke; I/O waits. */
  readonly reconnecting: { readonly reason: Error };
  /** The connection is back; what waited has been sent. Not told for the first connect. */
  readonly connected: object;
  /** Given up after ctrlrLossTimeoutMs: all I/O fails with `gone`, for good. */
  readonly lost: { readonly reason: Error };
  /** Namespaces came, went, or changed their size. */
  readonly namespacesChanged: NamespaceChanges;
  /** Another host took a registration or reservation from this host, or released one that it may now acquire. */
  readonly reservationChanged: { readonly nsid: number; readonly notice: number };
}

/** Without MDTS a transfer is cut at this, which keeps several in flight for one large I/O. */
const TRANSFER_BYTES_MAX = 1 << 20;

/** A log has one page and tells of at most 255 further ones; an endless one is not followed. */
const RESERVATION_PAGES_MAX = 256;

/** A connected controller of a remote subsystem, kept connected as its options say. */
export class NvmeTcpController implements NamespaceController {
  private readonly settings: HostSettings;
  private readonly events = new TypedEvents<HostControllerEvents>();
  private readonly dispatcher: IoDispatcher;
  private readonly table: NamespaceTable;
  private readonly stop = new AbortController();
  private association: Association;
  private current: HostControllerState = 'connected';
  private lossTimer: NodeJS.Timeout | undefined;
  private fastIoFailTimer: NodeJS.Timeout | undefined;
  private refreshing: Promise<void> | undefined;
  private refreshAgain = false;
  private closing: Promise<void> | undefined;

  private constructor(settings: HostSettings, association: Association) {
    this.settings = settings;
    this.association = association;
    this.dispatcher = new IoDispatcher(inaccessibleLimitMs(settings));
    this.table = new NamespaceTable(this);
    this.table.update(association.namespaces);
    this.dispatcher.linkUp(association);
  }

  /** Rejects with a LariatError when the first connect fails; nothing is left open then. */
  static async connect(options: NvmeTcpHostOptions): Promise<NvmeTcpController> {
    const settings = hostSettings(options);
    // Events may come before the controller is made; none is lost.
    const early: (() => void)[] = [];
    let controller: NvmeTcpController | undefined;
    const relay = (tell: (to: NvmeTcpController) => void): void => {
      if (controller === undefined) early.push(() => controller !== undefined && tell(controller));
      else tell(controller);
    };
    try {
      const association = await Association.establish(settings, new AbortController().signal, {
        lost: (reason) => relay((to) => to.linkLost(reason)),
        notice: (notice) => relay((to) => to.noticed(notice)),
      });
      controller = new NvmeTcpController(settings, association);
      for (const tell of early) tell();
      return controller;
    } catch (error) {
      throw connectError(settings, error);
    }
  }

  get state(): HostControllerState {
    return this.current;
  }

  /** CNTLID of the latest connection. */
  get controllerId(): number {
    return this.association.identity.controllerId;
  }

  get serial(): string {
    return this.association.identity.serial;
  }

  get model(): string {
    return this.association.identity.model;
  }

  get firmware(): string {
    return this.association.identity.firmware;
  }

  get maxTransferBytes(): number {
    return Math.min(
      this.association.identity.maxTransferBytes ?? TRANSFER_BYTES_MAX,
      TRANSFER_BYTES_MAX,
    );
  }

  get optionalCommands(): number {
    return this.association.identity.optionalCommands;
  }

  get volatileWriteCache(): boolean {
    return this.association.identity.volatileWriteCache;
  }

  namespaces(): readonly HostNamespace[] {
    return this.table.list();
  }

  /** Returns the function that removes the listener. */
  on<Name extends keyof HostControllerEvents>(
    name: Name,
    listener: (event: HostControllerEvents[Name]) => void,
  ): () => void {
    return this.events.on(name, listener);
  }

  /** For namespaces. */
  submit(request: IoRequest): Promise<void> {
    return this.dispatcher.submit(request);
  }

  /**
   * Disconnects. I/O that waits fails with `gone`, I/O in flight with `aborted` once the target has ended it or
   * cannot be reached. Nothing is sent after this resolves.
   */
  close(): Promise<void> {
    this.closing ??= this.closeOnce();
    return this.closing;
  }

  private async closeOnce(): Promise<void> {
    const wasConnected = this.current === 'connected';
    this.advance('close');
    const message = `the connection to ${this.settings.subnqn} was closed`;
    this.stop.abort();
    this.clearTimers();
    this.dispatcher.beginClose(message);
    if (wasConnected) await this.association.shutDown();
    this.dispatcher.endClose(message);
  }

  private advance(event: HostControllerEvent): void {
    this.current = hostControllerMachine.next(this.current, event);
  }

  private linkLost(reason: Error): void {
    if (this.current !== 'connected') return;
    this.dispatcher.linkDown();
    const { ctrlrLossTimeoutMs, fastIoFailTimeoutMs } = this.settings;
    if (ctrlrLossTimeoutMs === 0) {
      this.giveUp(reason);
      return;
    }
    this.advance('linkLost');
    if (ctrlrLossTimeoutMs > 0)
      this.lossTimer = setTimeout(() => this.giveUp(reason), ctrlrLossTimeoutMs);
    if (fastIoFailTimeoutMs > 0) {
      this.fastIoFailTimer = setTimeout(() => {
        const message = `not connected to ${this.settings.subnqn} for ${fastIoFailTimeoutMs} ms`;
        this.dispatcher.refuse(message, reason);
      }, fastIoFailTimeoutMs);
    }
    this.events.emit('reconnecting', { reason });
    void this.reconnect();
  }

  private async reconnect(): Promise<void> {
    while (this.current === 'reconnecting') {
      // Events of an association that is not in use yet are kept until it is.
      const early: (() => void)[] = [];
      let inUse = false;
      const relay = (tell: () => void): void => {
        if (inUse) tell();
        else early.push(tell);
      };
      const events: AssociationEvents = {
        lost: (reason) => relay(() => this.linkLost(reason)),
        notice: (notice) => relay(() => this.noticed(notice)),
      };
      try {
        const association = await Association.establish(this.settings, this.stop.signal, events);
        // Given up or closed in the very moment of success.
        if (this.current !== 'reconnecting')
          return association.drop(new Error('not wanted any more'));
        inUse = true;
        this.linkUp(association);
        for (const tell of early) tell();
        return;
      } catch {
        // Every cause is tried again until the loss timeout, also a rejection: a host may be admitted again.
        await delay(this.settings.reconnectDelayMs, this.stop.signal);
      }
    }
  }

  private linkUp(association: Association): void {
    this.clearTimers();
    this.advance('linkUp');
    this.association = association;
    const changes = this.table.update(association.namespaces);
    this.dispatcher.linkUp(association);
    this.events.emit('connected', {});
    if (hasChanges(changes)) this.events.emit('namespacesChanged', changes);
  }

  private giveUp(reason: Error): void {
    this.advance('giveUp');
    this.stop.abort();
    this.clearTimers();
    this.dispatcher.refuse(`the connection to ${this.settings.subnqn} is lost for good`, reason);
    this.events.emit('lost', { reason });
  }

  private clearTimers(): void {
    clearTimeout(this.lossTimer);
    clearTimeout(this.fastIoFailTimer);
  }

  private noticed(notice: AsyncNotice): void {
    if (notice === AsyncNotice.reservationLogAvailable) {
      void this.readReservationLog();
      return;
    }
    if (notice !== AsyncNotice.namespaceAttributeChanged && notice !== AsyncNotice.anaChanged)
      return;
    void this.refreshNamespaces();
  }

  /** Identifies the namespaces anew: the event of a change that was made just now may still be on its way. */
  refreshNamespaces(): Promise<void> {
    this.refreshAgain = true;
    this.refreshing ??= this.refresh().finally(() => {
      this.refreshing = undefined;
    });
    return this.refreshing;
  }

  /** Reads one page after another until none is left; each read lets the next event come. */
  private async readReservationLog(): Promise<void> {
    const { association } = this;
    try {
      for (let read = 0; read < RESERVATION_PAGES_MAX; read += 1) {
        const page = readReservationNotification(
          await association.admin.logPage(
            LogPage.reservationNotification,
            RESERVATION_NOTIFICATION_LENGTH,
          ),
        );
        if (page.type === 0) return;
        this.events.emit('reservationChanged', { nsid: page.nsid, notice: page.type });
        if (page.further === 0) return;
      }
    } catch (error) {
      association.drop(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Reads the logs, which lets the next events come, and then the namespaces, until no event came meanwhile. */
  private async refresh(): Promise<void> {
    const { association } = this;
    try {
      while (
        this.refreshAgain &&
        this.current === 'connected' &&
        this.association === association
      ) {
        this.refreshAgain = false;
        const { admin, identity } = association;
        await admin.logPage(LogPage.changedNamespaces, CHANGED_NAMESPACES_LENGTH);
        const changes = this.table.update(await identifyNamespaces(admin, identity));
        this.dispatcher.retryInaccessible();
        if (hasChanges(changes)) this.events.emit('namespacesChanged', changes);
      }
    } catch (error) {
      // Either the link broke, and the reconnect identifies all anew, or the controller does not answer as it must.
      association.drop(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

/** A namespace may stay inaccessible for as long as a broken link would be borne. */
function inaccessibleLimitMs(settings: HostSettings): number | undefined {
  if (settings.fastIoFailTimeoutMs > 0) return settings.fastIoFailTimeoutMs;
  return settings.ctrlrLossTimeoutMs < 0 ? undefined : settings.ctrlrLossTimeoutMs;
}
