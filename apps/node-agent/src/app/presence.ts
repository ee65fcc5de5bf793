import type {
  Heartbeat,
  ImageCopyReport,
  Inventory,
  KeptNode,
  NodeRecord,
  NodeRegistration,
  UnownedSight,
} from '@lariat/contracts';
import { isRetryable, toLariatError } from '@lariat/kernel';
import { isOfImage } from '../domain/ownership.js';
import type { ControlPlanePort } from '../ports/control-plane.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { LogPort } from '../ports/log.port.js';
import { engineReport } from './loss-reporter.js';

export interface PresenceParts {
  readonly node: string;
  readonly agentInstance: string;
  readonly journal: JournalPort;
  readonly controlPlane: ControlPlanePort;
  readonly log: LogPort;
  readonly registration: () => NodeRegistration;
  readonly images: () => readonly ImageCopyReport[];
  /** Why this node's target is not ready; undefined when it is. */
  readonly targetFault: () => string | undefined;
  /** Why the head of this uuid is known to be gone from its disk. */
  readonly absent: (uuid: string) => string | undefined;
  /** What has no owner; undefined: not known. */
  readonly unowned: () => UnownedSight | undefined;
}

const REFRESH_MS = 10_000;
const HEARTBEAT_MS = 1_000;
/** Looks for changes; what changes faster is told once. */
export const CHANGE_POLL_MS = 250;
const REGISTER_RETRY_MS = 500;
const KEPT_NODE = 'node-record';

/** Tells the services that the node lives, what it offers and what it holds. */
export class Presence {
  private sequence = 0;
  private timers: NodeJS.Timeout[] = [];
  private told = { registration: '', inventory: '' };
  private nextRegistrationMs = 0;
  private nextInventoryMs = 0;
  private registering = false;
  private lastRefusal = '';

  constructor(private readonly parts: PresenceParts) {}

  start(): void {
    this.beat();
    this.tellChanges();
    this.timers = [
      setInterval(() => this.beat(), HEARTBEAT_MS),
      setInterval(() => this.tellChanges(), CHANGE_POLL_MS),
    ];
  }

  stop(): void {
    for (const timer of this.timers) clearInterval(timer);
    this.timers = [];
  }

  inventory(): Inventory {
    const { node, agentInstance, journal, absent } = this.parts;
    const unowned = this.parts.unowned();
    return {
      node,
      agentInstance,
      replicas: replicasOf(journal, absent),
      engines: journal.ownedOfKind('raid').map((raid) => engineReport(raid)),
      images: this.parts.images(),
      ...(unowned === undefined ? {} : { unowned }),
    };
  }

  private beat(): void {
    const { node, agentInstance, controlPlane } = this.parts;
    const fault = this.parts.targetFault();
    this.sequence += 1;
    const heartbeat: Heartbeat = {
      node,
      agentInstance,
      sequence: this.sequence,
      targetReady: fault === undefined,
      ...(fault === undefined ? {} : { targetFault: fault }),
    };
    controlPlane.heartbeat(heartbeat);
  }

  private tellChanges(): void {
    const now = performance.now();
    const inventory = this.inventory();
    const seen = JSON.stringify(inventory);
    if (seen !== this.told.inventory || now >= this.nextInventoryMs) {
      this.told.inventory = seen;
      this.nextInventoryMs = now + REFRESH_MS;
      this.parts.controlPlane.inventory(inventory);
    }
    const kept = this.kept();
    const registration: NodeRegistration = Object.assign(
      {},
      this.parts.registration(),
      kept === undefined ? {} : { kept },
    );
    const wanted = JSON.stringify(registration);
    const due = wanted !== this.told.registration || now >= this.nextRegistrationMs;
    if (due && !this.registering) void this.register(registration, wanted);
  }

  /** What an operator has set on the node: a store that has lost its data is told of it again. */
  private kept(): KeptNode | undefined {
    const kept = this.parts.journal.setting(KEPT_NODE);
    // Written below, by this very class.
    return kept === undefined ? undefined : (kept as KeptNode);
  }

  private async keep({ schedulable, duty, settings }: NodeRecord): Promise<void> {
    const kept: KeptNode = {
      schedulable,
      ...(duty === undefined ? {} : { duty }),
      ...(settings === undefined ? {} : { settings }),
    };
    if (JSON.stringify(kept) !== JSON.stringify(this.kept()))
      await this.parts.journal.putSetting(KEPT_NODE, kept);
  }

  private async register(registration: NodeRegistration, text: string): Promise<void> {
    this.registering = true;
    try {
      await this.keep(await this.parts.controlPlane.register(registration));
      this.told.registration = text;
      this.lastRefusal = '';
      this.nextRegistrationMs = performance.now() + REFRESH_MS;
    } catch (reason) {
      const error = toLariatError(reason);
      // No service yet, most likely; a refusal of the content would not change by asking often.
      const waitMs = isRetryable(error.kind) ? REGISTER_RETRY_MS : REFRESH_MS;
      this.told.registration = text;
      this.nextRegistrationMs = performance.now() + waitMs;
      // Said once: services that are not up yet would fill the log.
      if (error.message !== this.lastRefusal) {
        this.parts.log.warn('registration not accepted', { error: error.message });
      }
      this.lastRefusal = error.message;
    } finally {
      this.registering = false;
    }
  }
}

/**
 * Each replica that has an lvol here: one without a head, as a rebuild that was cut off leaves it, takes space too. An
 * image's copy is no replica: what no volume wants of replicas is deleted.
 */
export function replicasOf(
  journal: Pick<JournalPort, 'ownedOfKind' | 'recordPosition'>,
  absentOf: PresenceParts['absent'],
): Inventory['replicas'] {
  const lvols = journal.ownedOfKind('lvol').filter((lvol) => !isOfImage(lvol));
  const volumes = new Map(lvols.map(({ owner, volume }) => [owner, volume ?? '']));
  const reasons = new Map(
    lvols.flatMap(({ owner, uuid }) => {
      const reason = uuid === null ? undefined : absentOf(uuid);
      return reason === undefined ? [] : [[owner, reason] as const];
    }),
  );
  const heads = new Map(
    lvols.flatMap(({ owner, uuid, params: { role, disk, sizeBytes } }) =>
      role === 'head' && uuid !== null ? [[owner, { uuid, disk, sizeBytes }] as const] : [],
    ),
  );
  return Array.from(volumes, ([replica, volume]) => {
    const absent = reasons.get(replica);
    const head = heads.get(replica);
    return {
      replica,
      volume,
      record: journal.recordPosition('volume', volume) ?? null,
      ...(absent === undefined ? {} : { absent }),
      ...(head === undefined ? {} : { head }),
    };
  });
}
