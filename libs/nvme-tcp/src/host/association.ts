import type { AsyncNotice } from '../nvme/async-event.js';
import { CONNECT_DISABLE_SQ_FLOW_CONTROL, DYNAMIC_CONTROLLER_ID } from '../nvme/fabrics.js';
import { AsyncEventEnable, Feature } from '../nvme/features.js';
import { type IdentifyController, readIdentifyController } from '../nvme/identify-controller.js';
import { IdentifyCns } from '../nvme/identify-namespace.js';
import { AdminQueue, connectQueue } from './admin-queue.js';
import { connectTimeout, LinkError, NvmeCommandError } from './host-error.js';
import type { HostSettings } from './host-options.js';
import { identifyNamespaces, type NamespaceIdentity } from './identify-namespaces.js';
import { QueuePair } from './queue-pair.js';

const ADMIN_QUEUE_ENTRIES = 32;
/** A close does not wait longer than this for the controller's word that it has shut down. */
const SHUTDOWN_TIMEOUT_MS = 1000;

export interface AssociationEvents {
  /** Called once, when any of the queues is lost; all are closed then. */
  lost(reason: Error): void;
  notice(notice: AsyncNotice): void;
}

/** One life of a controller: an admin queue, its I/O queues, and the keep alive. A new one is made to reconnect. */
export class Association {
  readonly admin: AdminQueue;
  readonly ioQueues: readonly QueuePair[];
  readonly identity: IdentifyController;
  /** As they were when the association was made. */
  readonly namespaces: readonly NamespaceIdentity[];
  private readonly link: Link;
  private keepAliveTimer: NodeJS.Timeout | undefined;
  private keepAlivePending = false;

  private constructor(
    link: Link,
    admin: AdminQueue,
    ioQueues: readonly QueuePair[],
    identity: IdentifyController,
    namespaces: readonly NamespaceIdentity[],
  ) {
    this.link = link;
    this.admin = admin;
    this.ioQueues = ioQueues;
    this.identity = identity;
    this.namespaces = namespaces;
  }

  /** Connects all queues and identifies the namespaces; `signal` ends the attempt. */
  static async establish(
    settings: HostSettings,
    signal: AbortSignal,
    events: AssociationEvents,
  ): Promise<Association> {
    const link = new Link();
    const abort = (): void => link.close(new LinkError('the attempt to connect was ended'));
    const timedOut = connectTimeout(settings, settings.connectTimeoutMs);
    const timer = setTimeout(() => link.close(timedOut), settings.connectTimeoutMs);
    signal.addEventListener('abort', abort, { once: true });
    try {
      if (signal.aborted) abort();
      const association = await connectAll(
        settings,
        link,
        (admin, ioQueues, identity, namespaces) => {
          return new Association(link, admin, ioQueues, identity, namespaces);
        },
      );
      if (link.closedBy !== undefined) throw link.closedBy;
      link.onLost = (reason) => {
        clearInterval(association.keepAliveTimer);
        events.lost(reason);
      };
      association.admin.listen((notice) => events.notice(notice));
      association.startKeepAlive(settings.keepAliveTimeoutMs);
      return association;
    } catch (error) {
      const reason = link.closedBy ?? error;
      link.close(new LinkError('the attempt to connect failed'));
      throw reason;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  /** The queue with the fewest outstanding commands, or undefined when all are full. */
  freeQueue(): QueuePair | undefined {
    let best: QueuePair | undefined;
    for (const queue of this.ioQueues) {
      if (queue.hasRoom && (best === undefined || queue.outstandingCount < best.outstandingCount))
        best = queue;
    }
    return best;
  }

  /** Tells the controller to shut down, and closes the queues: nothing is sent after that. */
  async shutDown(): Promise<void> {
    clearInterval(this.keepAliveTimer);
    this.link.closeQueues(this.ioQueues, new LinkError('the controller is closing'));
    const timer = setTimeout(
      () => this.drop(new LinkError('the controller did not shut down in time')),
      SHUTDOWN_TIMEOUT_MS,
    );
    try {
      await this.admin.shutDown(SHUTDOWN_TIMEOUT_MS);
    } catch {
      // The controller is gone or slow; closing the connection is all that is left to do.
    } finally {
      clearTimeout(timer);
      this.drop(new LinkError('the controller was closed'));
    }
  }

  /** Closes the queues without a word, as after a broken link. */
  drop(reason: Error): void {
    clearInterval(this.keepAliveTimer);
    this.link.close(reason);
  }

  private startKeepAlive(timeoutMs: number): void {
    if (timeoutMs === 0) return;
    // Twice per timeout, so that one late answer is not taken for a dead controller.
    this.keepAliveTimer = setInterval(
      () => this.keepAlive(timeoutMs),
      Math.max(1, Math.floor(timeoutMs / 2)),
    );
  }

  private keepAlive(timeoutMs: number): void {
    if (this.keepAlivePending) {
      this.drop(
        new LinkError(
          `the controller did not answer a keep alive within ${Math.floor(timeoutMs / 2)} ms`,
        ),
      );
      return;
    }
    this.keepAlivePending = true;
    this.admin.keepAlive().then(
      () => {
        this.keepAlivePending = false;
      },
      (error: unknown) => this.drop(error instanceof Error ? error : new LinkError(String(error))),
    );
  }
}

/** The queues of one association; they all close together. */
class Link {
  onLost: ((reason: Error) => void) | undefined;
  closedBy: Error | undefined;
  private readonly queues = new Set<QueuePair>();

  async open(settings: HostSettings, sizeEntries: number): Promise<QueuePair> {
    if (this.closedBy !== undefined) throw this.closedBy;
    const { traddr, trsvcid, headerDigest, dataDigest } = settings;
    const { queue, ready } = QueuePair.open(
      { traddr, trsvcid, headerDigest, dataDigest, sizeEntries },
      (reason) => this.queueClosed(queue, reason),
    );
    this.queues.add(queue);
    await ready;
    return queue;
  }

  /** Closes some queues and keeps the others; nobody is told of a loss any more. */
  closeQueues(queues: readonly QueuePair[], reason: Error): void {
    this.onLost = undefined;
    for (const queue of queues) {
      this.queues.delete(queue);
      queue.close(reason);
    }
  }

  close(reason: Error): void {
    if (this.closedBy !== undefined) return;
    this.closedBy = reason;
    for (const queue of this.queues) queue.close(reason);
    this.onLost?.(reason);
  }

  private queueClosed(queue: QueuePair, reason: Error): void {
    if (this.queues.has(queue)) this.close(reason);
  }
}

type MakeAssociation = (
  admin: AdminQueue,
  ioQueues: readonly QueuePair[],
  identity: IdentifyController,
  namespaces: readonly NamespaceIdentity[],
) => Association;

async function connectAll(
  settings: HostSettings,
  link: Link,
  make: MakeAssociation,
): Promise<Association> {
  const { hostId, hostnqn: hostNqn, subnqn: subsystemNqn } = settings;
  const connectData = { hostId, hostNqn, subsystemNqn };
  const admin = new AdminQueue(await link.open(settings, ADMIN_QUEUE_ENTRIES));
  const controllerId = await connectQueue(
    admin.queue,
    {
      recordFormat: 0,
      queueId: 0,
      queueSize: ADMIN_QUEUE_ENTRIES - 1,
      attributes: CONNECT_DISABLE_SQ_FLOW_CONTROL,
      keepAliveTimeoutMs: settings.keepAliveTimeoutMs,
    },
    { ...connectData, controllerId: DYNAMIC_CONTROLLER_ID },
  );
  const capabilities = await admin.capabilities();
  await admin.enable(Math.max(capabilities.readyTimeoutMs, settings.connectTimeoutMs));
  const identity = readIdentifyController(await admin.identify(IdentifyCns.controller, 0));
  const wanted = settings.ioQueueCount - 1;
  const granted = await admin.setFeature(Feature.numberOfQueues, wanted | (wanted << 16));
  const count = Math.min(settings.ioQueueCount, (granted & 0xffff) + 1, (granted >>> 16) + 1);
  const limit = identity.maxOutstandingCommands === 0 ? 0xffff : identity.maxOutstandingCommands;
  const entries = Math.max(2, Math.min(settings.queueDepth, capabilities.maxQueueEntries, limit));
  const ioQueues: QueuePair[] = [];
  for (let queueId = 1; queueId <= count; queueId += 1) {
    const queue = await link.open(settings, entries);
    await connectQueue(
      queue,
      {
        recordFormat: 0,
        queueId,
        queueSize: entries - 1,
        attributes: CONNECT_DISABLE_SQ_FLOW_CONTROL,
        keepAliveTimeoutMs: 0,
      },
      { ...connectData, controllerId },
    );
    queue.setInCapsuleBytes(Math.max(0, identity.commandCapsuleBytes - 64));
    ioQueues.push(queue);
  }
  await enableEvents(admin, identity);
  return make(admin, ioQueues, identity, await identifyNamespaces(admin, identity));
}

async function enableEvents(admin: AdminQueue, identity: IdentifyController): Promise<void> {
  const events =
    AsyncEventEnable.namespaceAttribute | (identity.anaReporting ? AsyncEventEnable.anaChange : 0);
  try {
    await admin.setFeature(Feature.asyncEventConfiguration, events);
  } catch (error) {
    // A controller without such events works; its changes are seen at the next connect.
    if (!(error instanceof NvmeCommandError)) throw error;
  }
}
