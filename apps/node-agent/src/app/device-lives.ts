import { lariatError, type Frontend } from '@lariat/contracts';
import { delay, toLariatError, type Clock, type ReconcileCounts } from '@lariat/kernel';
import type { OwnedDevice, OwnedFrontend } from '../domain/ownership.js';
import type { DeviceUsersPort } from '../ports/device-users.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { LogPort } from '../ports/log.port.js';

/** What makes and unmakes devices of one kind, a step at a time. */
export interface LifeDriver<Device extends OwnedDevice> {
  /** The record of a new life; nothing is made yet. */
  plan(frontend: OwnedFrontend, name: string): Device;
  /**
   * Looks at the machine, once for all devices of the kind, and changes nothing. What it answers tells of each what is to be
   * done next: nothing, until something changes, or something.
   */
  look(): (record: Device) => Rest;
  /** Takes the next step; `stop` when there is none to take now. */
  advance(record: Device, operation: string): Promise<'go-on' | 'stop'>;
  /** The block device that the record is of, if it is there. */
  deviceOf(record: Device): string | undefined;
}

/** settled: it serves. waiting: for somebody else's work, or for users to let go. */
export type Rest = 'settled' | 'waiting' | 'unsettled';

export interface DeviceLivesParts {
  readonly journal: JournalPort;
  readonly users: DeviceUsersPort;
  readonly clock: Clock;
  readonly counts: ReconcileCounts;
  readonly log: LogPort;
  readonly drivers: {
    readonly [Kind in OwnedDevice['kind']]: LifeDriver<Extract<OwnedDevice, { kind: Kind }>>;
  };
}

const MAKE_DEADLINE_MS = 8_000;
const MAKE_POLL_MS = 20;
const LET_GO_MS = 2_000;
const RETRY_MS = 2_000;
/** A life takes about six steps; more of them means that the machine does not do what it was told. */
const MAX_STEPS = 12;
/** The agent itself, where no operation asks. */
const BY_ITSELF = 'agent';

/** The kind of device that a frontend is; the others have none. */
const KIND_OF: Partial<Readonly<Record<Frontend, OwnedDevice['kind']>>> = {
  loop: 'loop',
  kernel: 'dm',
};

/**
 * Block devices of this host through which volumes are used, each a sequence of lives (docs/adr/0028). At most one life
 * of a volume is wanted; those that leave may still have users.
 */
export class DeviceLives {
  /** By volume: what could not be put right; it is said once, and tried again not at once. */
  private readonly failures = new Map<string, { message: string; retryAtMs: number }>();
  private readonly repairing = new Set<string>();

  constructor(private readonly parts: DeviceLivesParts) {}

  /** Makes the device of the volume's attachment, which is on record, or adopts it; answers its node. */
  async ensure(volume: string): Promise<string> {
    const { journal, clock } = this.parts;
    const frontend = journal.owned('frontend', volume);
    if (frontend === undefined) throw new Error(`no frontend of ${volume} is on record`);
    for (const record of this.livesOf(volume)) {
      if (record.epoch !== frontend.epoch) await this.leave(record, 'forced');
    }
    const deadlineMs = clock.monotonicMs() + MAKE_DEADLINE_MS;
    for (;;) {
      await this.begin(frontend);
      await this.advanceAll(volume, frontend.operation);
      const now = this.current(volume);
      if (now !== undefined && this.look()(now) === 'settled') return now.params.node;
      if (clock.monotonicMs() > deadlineMs) {
        throw lariatError(
          'DEVICE_NOT_MADE',
          `the device of volume ${volume} is not there after ${MAKE_DEADLINE_MS} ms; the agent's log has what was tried`,
        );
      }
      await delay(MAKE_POLL_MS);
    }
  }

  /** What uses the volume's devices here; it is not to be detached while anything does. */
  async usersOf(volume: string): Promise<readonly string[]> {
    const found: string[] = [];
    for (const record of this.livesOf(volume)) {
      const device = this.driverOf(record).deviceOf(record);
      if (device === undefined) continue;
      const uses = await this.parts.users.usersOf(device);
      found.push(...uses.map((use) => `${device}: ${use}`));
    }
    return found;
  }

  /**
   * Takes the volume's devices away. `unused`: refused with DEVICE_BUSY while something uses one. `forced`: what uses one
   * gets errors, and the device goes with its last user; nobody waits for that.
   */
  async release(volume: string, how: 'unused' | 'forced'): Promise<void> {
    const lives = this.livesOf(volume);
    if (lives.length === 0) return;
    if (how === 'unused') {
      const users = await this.usersOf(volume);
      if (users.length > 0) throw deviceBusy(volume, users);
    }
    for (const record of lives) await this.leave(record, how);
    await this.advanceAll(volume, BY_ITSELF);
    if (how === 'unused') await this.awaitGone(volume);
  }

  /** A mount that has just been ended may hold the device for a moment. */
  private async awaitGone(volume: string): Promise<void> {
    const { clock } = this.parts;
    const deadlineMs = clock.monotonicMs() + LET_GO_MS;
    while (this.livesOf(volume).length > 0) {
      if (clock.monotonicMs() > deadlineMs) throw deviceBusy(volume, await this.usersOf(volume));
      await delay(MAKE_POLL_MS);
      await this.advanceAll(volume, BY_ITSELF);
    }
  }

  /** Takes the steps that can be taken now. */
  async settle(volume: string, operation: string): Promise<void> {
    await this.advanceAll(volume, operation);
  }

  /** Takes away what nothing uses, so that this agent's end leaves no device without a server; the next start makes it. */
  async pause(): Promise<void> {
    const { journal, log } = this.parts;
    await this.letGoOfAll();
    await Promise.all(
      journal.ownedOfKind('frontend').map(async ({ name: volume }) => {
        const users = await this.usersOf(volume);
        if (users.length === 0) await this.release(volume, 'unused');
        else log.warn('device in use: its I/O waits for the next start', { volume, users });
      }),
    );
  }

  /** Nobody would open a gate that is closed while this agent is away. */
  private async letGoOfAll(): Promise<void> {
    const { journal, log } = this.parts;
    const held = journal.ownedOfKind('dm').filter(({ params }) => params.held != null);
    for (const record of held) {
      await journal.putOwned(withParams(record, { held: null }));
      try {
        await this.advanceAll(record.volume, BY_ITSELF);
      } catch (reason) {
        // The next start goes on with it; what else is to be ended does not wait for this.
        const { message } = toLariatError(reason);
        log.warn('device not let go yet', { volume: record.volume, error: message });
      }
    }
  }

  /** Whether a device stands on what serves the volume, which must go on then. */
  isBound(volume: string): boolean {
    return this.livesOf(volume).some(
      (record) => this.driverOf(record).deviceOf(record) !== undefined,
    );
  }

  /** Volumes of which something is not as it should be; the caller has each put right in the volume's lane. */
  unsettled(): readonly string[] {
    const { journal, counts } = this.parts;
    const lives = this.all();
    const frontends = journal.ownedOfKind('frontend').filter(({ params }) => {
      return KIND_OF[params.frontend] !== undefined;
    });
    if (lives.length + frontends.length === 0) return [];
    counts.looked('devices', lives.length);
    const restOf = this.look();
    const volumes = new Set([
      ...lives.filter((record) => this.isOff(record, restOf)).map(({ volume }) => volume),
      ...frontends.map(({ name }) => name).filter((name) => this.current(name) === undefined),
    ]);
    return Array.from(volumes).filter((volume) => this.isDue(volume));
  }

  /** Brings the volume's devices to what they should be, as far as the machine lets it now. */
  async repair(volume: string): Promise<void> {
    const { journal, clock, counts, log } = this.parts;
    // A command that ran in the lane meanwhile may have made it what it should be.
    if (!this.isDue(volume) || !this.isUnsettled(volume)) return;
    this.repairing.add(volume);
    counts.repaired('devices');
    try {
      for (const record of this.livesOf(volume)) {
        if (this.isUnwanted(record)) await this.leave(record, 'forced');
      }
      const frontend = journal.owned('frontend', volume);
      if (frontend !== undefined && KIND_OF[frontend.params.frontend] !== undefined)
        await this.begin(frontend);
      await this.advanceAll(volume, BY_ITSELF);
      this.failures.delete(volume);
    } catch (reason) {
      const { message } = toLariatError(reason);
      if (this.failures.get(volume)?.message !== message)
        log.warn('device not put right yet', { volume, error: message });
      this.failures.set(volume, { message, retryAtMs: clock.monotonicMs() + RETRY_MS });
    } finally {
      this.repairing.delete(volume);
    }
  }

  private isDue(volume: string): boolean {
    const retryAtMs = this.failures.get(volume)?.retryAtMs ?? 0;
    return !this.repairing.has(volume) && this.parts.clock.monotonicMs() >= retryAtMs;
  }

  private isUnsettled(volume: string): boolean {
    const frontend = this.parts.journal.owned('frontend', volume);
    const isWanted = frontend !== undefined && KIND_OF[frontend.params.frontend] !== undefined;
    if (isWanted && this.current(volume) === undefined) return true;
    const restOf = this.look();
    return this.livesOf(volume).some((record) => this.isOff(record, restOf));
  }

  /** Each kind of device is looked at when the first of it is asked for. */
  private look(): (record: OwnedDevice) => Rest {
    const looks = new Map<OwnedDevice['kind'], (record: OwnedDevice) => Rest>();
    return (record) => {
      const restOf = looks.get(record.kind) ?? this.driverOf(record).look();
      looks.set(record.kind, restOf);
      return restOf(record);
    };
  }

  private isOff(record: OwnedDevice, restOf: (record: OwnedDevice) => Rest): boolean {
    if (this.isUnwanted(record)) return true;
    try {
      return restOf(record) === 'unsettled';
    } catch {
      // What keeps it from being looked at keeps it from being repaired, which tells.
      return true;
    }
  }

  private isUnwanted(record: OwnedDevice): boolean {
    if (record.params.leaving !== null) return false;
    const frontend = this.parts.journal.owned('frontend', record.volume);
    return frontend?.epoch !== record.epoch || KIND_OF[frontend.params.frontend] !== record.kind;
  }

  private all(): readonly OwnedDevice[] {
    const { journal } = this.parts;
    return [...journal.ownedOfKind('loop'), ...journal.ownedOfKind('dm')];
  }

  private livesOf(volume: string): readonly OwnedDevice[] {
    return this.all().filter((record) => record.volume === volume);
  }

  private current(volume: string): OwnedDevice | undefined {
    return this.livesOf(volume).find(({ params }) => params.leaving === null);
  }

  private driverOf(record: OwnedDevice): LifeDriver<OwnedDevice> {
    return this.parts.drivers[record.kind] as LifeDriver<OwnedDevice>;
  }

  /** A new life, unless there is one that is wanted. */
  private async begin(frontend: OwnedFrontend): Promise<void> {
    const { journal, drivers } = this.parts;
    const { name: volume, epoch, params } = frontend;
    const kind = KIND_OF[params.frontend];
    if (kind === undefined || this.current(volume) !== undefined) return;
    const lives = this.livesOf(volume).flatMap((record) =>
      record.epoch === epoch ? [Number(record.name.slice(record.name.lastIndexOf('.') + 1))] : [],
    );
    const name = `${volume}.${epoch}.${Math.max(0, ...lives) + 1}`;
    await journal.putOwned(drivers[kind].plan(frontend, name));
  }

  private async leave(record: OwnedDevice, how: 'unused' | 'forced'): Promise<void> {
    if (record.params.leaving === 'forced') return;
    await this.parts.journal.putOwned(withParams(record, { leaving: how }));
  }

  /** Those that leave first: they may hold what the next one needs. */
  private async advanceAll(volume: string, operation: string): Promise<void> {
    const { journal } = this.parts;
    const inOrder = this.livesOf(volume).toSorted(
      (one, other) => Number(one.params.leaving === null) - Number(other.params.leaving === null),
    );
    for (const { kind, name } of inOrder) {
      for (let steps = 0; steps < MAX_STEPS; steps += 1) {
        const record = journal.owned(kind, name);
        if (record === undefined) break;
        if ((await this.driverOf(record).advance(record, operation)) === 'stop') break;
      }
    }
  }
}

/** The record with some of what it says changed. */
export function withParams<Device extends OwnedDevice>(
  record: Device,
  over: Partial<Device['params']>,
): Device {
  return { ...record, params: { ...record.params, ...over } };
}

function deviceBusy(volume: string, users: readonly string[]): Error {
  const told = users.length === 0 ? 'something that is about to let go of it' : users.join('; ');
  return lariatError(
    'DEVICE_BUSY',
    `volume ${volume} is in use (${told}): unmount it, or end what uses it, and detach it then`,
    { volume, users },
  );
}
