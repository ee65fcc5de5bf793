import { nodeHostNqn } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, delay, toLariatError, type KeyedQueue } from '@lariat/kernel';
import type { OwnedController, OwnedLvol, OwnedSubsystem } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { LogPort } from '../ports/log.port.js';
import type { ListenPort, TargetPort } from '../ports/target.port.js';
import type { Controllers } from './controllers.js';
import type { Disks } from './disks.js';
import type { Exports } from './exports.js';
import { imageCopyLane } from './image-copies.js';
import type { Lvols } from './lvols.js';

export interface RestoreParts {
  readonly node: string;
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly listen: ListenPort;
  readonly disks: Disks;
  readonly lvols: Lvols;
  readonly exports: Exports;
  readonly controllers: Controllers;
  readonly queue: KeyedQueue;
  readonly log: LogPort;
}

const DISCOVERY_NQN = 'nqn.2014-08.org.nvmexpress.discovery';
const LOOK_MS = 250;
/**
 * After so many looks at which nothing more was back, the rest is stuck. Counted in looks, and begun anew with each thing that is
 * back: on a machine that has no time for this process, or with many records, little happens between two moments.
 */
const STUCK_AFTER_LOOKS = 8;
/** A large store that was not closed takes its time. */
const DISKS_STUCK_AFTER_LOOKS = 40;
/** How many names of what is stuck are logged. */
const NAMED = 10;

type Kind = 'disk' | 'lvol' | 'controller' | 'subsystem';
type PutBack = (nqn: string) => Promise<void>;

/**
 * Puts the target back to what the ownership records say, from whatever it is now: on a fresh target all of
 * it, on an adopted one what is missing. Engines are the engine watch's work, since they wait for other nodes.
 */
export class Restore {
  private readonly failed = new Set<string>();

  constructor(private readonly parts: RestoreParts) {}

  /** True while something could not be put back; `retry` is to be called then. */
  get isIncomplete(): boolean {
    return this.failed.size > 0;
  }

  /**
   * On a target that has just come. All side by side: neither a node that does not answer nor a record that is stuck holds
   * up what is beside it, and many of them no longer than one. What fails here, or is stuck, is logged and left to `retry`.
   */
  async all(): Promise<void> {
    const { journal, exports } = this.parts;
    this.failed.clear();
    await this.listenOnPort();
    const disks = new Attempts();
    for (const { name } of journal.ownedOfKind('disk'))
      disks.add(
        keyOf('disk', name),
        this.attempt('disk', name, () => this.loadDisk(name)),
      );
    await this.untilDoneOrStuck(disks, DISKS_STUCK_AFTER_LOOKS);
    const putBack = await exports.putBackMany();
    const attempts = new Attempts();
    const sources = new Map<string, Promise<void>>();
    for (const record of journal.ownedOfKind('controller')) {
      const attempt = this.attempt('controller', record.name, () => this.connect(record));
      if (record.params.role === 'source') sources.set(record.owner, attempt);
      attempts.add(keyOf('controller', record.name), attempt);
    }
    for (const lvol of limitedAmong(journal))
      attempts.add(
        keyOf('lvol', lvol.name),
        this.attempt('lvol', lvol.name, () => this.limit(lvol)),
      );
    for (const record of journal.ownedOfKind('subsystem')) {
      const attempt = this.attempt('subsystem', record.name, async () => {
        // A head under rebuild is there when its external parent is.
        await sources.get(record.owner);
        // From then on it is `retry` that puts it back, by what the target has then.
        if (attempts.isOver) throw new Error('what it stands on was not there in time');
        await (record.params.role === 'image'
          ? this.endOwnReading(record, putBack)
          : this.export(record, putBack));
      });
      attempts.add(keyOf('subsystem', record.name), attempt);
    }
    await this.untilDoneOrStuck(attempts, STUCK_AFTER_LOOKS);
  }

  private async untilDoneOrStuck(attempts: Attempts, stuckAfterLooks: number): Promise<void> {
    const stuck = await attempts.settled(stuckAfterLooks);
    if (stuck.length === 0) return;
    for (const what of stuck) this.failed.add(what);
    this.parts.log.warn('is not put back yet, and not waited for', {
      count: stuck.length,
      what: stuck.slice(0, NAMED),
    });
  }

  /** What has failed, each thing in the lane of the commands on it, by its record as it is then. */
  async retry(): Promise<void> {
    const { journal, exports, queue } = this.parts;
    const due = new Set(this.failed);
    // What is tried now is not tried beside that.
    this.failed.clear();
    const isDue = (kind: Kind, name: string): boolean => due.has(keyOf(kind, name));
    const again = (
      kind: Kind,
      name: string,
      lane: string,
      task: () => Promise<unknown>,
    ): Promise<void> => this.attempt(kind, name, () => queue.run(lane, task));
    await Promise.all([
      ...journal
        .ownedOfKind('disk')
        .filter(({ name }) => isDue('disk', name))
        .map(({ name }) => again('disk', name, `disk/${name}`, () => this.loadDisk(name))),
      ...journal
        .ownedOfKind('controller')
        .filter(({ name }) => isDue('controller', name))
        .map(({ name, owner, params }) => {
          const lane = params.role === 'leg' ? `volume/${owner}` : `replica/${owner}`;
          return again('controller', name, lane, async () => {
            const record = journal.owned('controller', name);
            if (record !== undefined) await this.connect(record);
          });
        }),
      ...limitedAmong(journal)
        .filter(({ name }) => isDue('lvol', name))
        .map(({ name, owner }) =>
          again('lvol', name, `replica/${owner}`, async () => {
            const record = limitedAmong(journal).find((lvol) => lvol.name === name);
            if (record !== undefined) await this.limit(record);
          }),
        ),
      ...journal
        .ownedOfKind('subsystem')
        .filter(({ name }) => isDue('subsystem', name))
        .map((subsystem) =>
          again('subsystem', subsystem.name, laneOf(subsystem), async () => {
            const record = journal.owned('subsystem', subsystem.name);
            // A checksum that runs now is not one that a restart cut off.
            if (record !== undefined && record.params.role !== 'checksum')
              await this.export(record, (nqn) => exports.putBack(nqn, () => undefined));
          }),
        ),
    ]);
  }

  private async loadDisk(name: string): Promise<void> {
    const disk = this.parts.journal.owned('disk', name);
    // One that was never finished is finished by its command's next delivery.
    if (disk !== undefined && disk.uuid !== null) await this.parts.disks.load(disk);
  }

  private async connect(record: OwnedController): Promise<void> {
    const { journal, controllers } = this.parts;
    const { role, replica } = record.params;
    // A copy attaches by itself when its command runs again.
    if (role === 'copy') return;
    if (role === 'source') {
      await controllers.apply(record);
      return;
    }
    const engine = journal.owned('raid', record.owner);
    if (engine?.params.legs.some((leg) => leg.replica === replica) === true) return;
    // An attach that came up after its engine had gone on without it.
    await controllers.remove(record.name);
  }

  private async limit(record: LimitedLvol): Promise<void> {
    await this.parts.lvols.limitWrites(record, record.params.writeMibPerSecond);
  }

  private async export(record: OwnedSubsystem, putBack: PutBack): Promise<void> {
    const { role } = record.params;
    if (role === 'volume') return;
    // A checksum that the restart cut off begins anew; its export serves no one.
    if (role === 'checksum') await this.parts.exports.remove(record.name);
    else await putBack(record.name);
  }

  /** Others go on reading an image's copy; what this node itself read was cut off, and begins anew. */
  private async endOwnReading(record: OwnedSubsystem, putBack: PutBack): Promise<void> {
    const { node, journal, exports } = this.parts;
    const hosts = record.params.hosts.filter((host) => host !== nodeHostNqn(node));
    if (hosts.length === 0) {
      await exports.remove(record.name);
      return;
    }
    if (hosts.length < record.params.hosts.length)
      await journal.putOwned({ ...record, params: { ...record.params, hosts } });
    await putBack(record.name);
  }

  private async listenOnPort(): Promise<void> {
    const { target, listen, log } = this.parts;
    const { nvmf } = target.spdk();
    if (!(await nvmf.getTransports()).includes('TCP')) {
      // A whole cluster in one command: in pieces, the first would have the rest of the cluster filled, to be written again.
      await nvmf.createTransport({ maxIoSizeBytes: CLUSTER_SIZE_BYTES });
    }
    // Holds the node's port from the start, before the first export, so that nobody else gets it.
    const subsystems = await nvmf.getSubsystems();
    const discovery = subsystems.find((subsystem) => subsystem.nqn === DISCOVERY_NQN);
    if (discovery === undefined) return;
    const { traddr, trsvcid } = listen;
    const listens = discovery.listenAddresses.some(
      (address) => address.traddr === traddr && address.trsvcid === trsvcid,
    );
    if (listens) return;
    try {
      await nvmf.addListener(DISCOVERY_NQN, { traddr, trsvcid });
    } catch (reason) {
      // A target without a discovery listener takes the port with its first export.
      log.info('the port is not held yet', { error: toLariatError(reason).message });
    }
  }

  private async attempt(kind: Kind, name: string, task: () => Promise<unknown>): Promise<void> {
    const what = keyOf(kind, name);
    try {
      await task();
    } catch (reason) {
      this.failed.add(what);
      this.parts.log.warn('could not be put back yet', {
        what,
        error: toLariatError(reason).message,
      });
    }
  }
}

/** What is tried side by side, and which of it has ended. */
class Attempts {
  /** Once nobody waits any more. */
  isOver = false;
  private readonly pending = new Map<string, Promise<void>>();

  add(what: string, attempt: Promise<void>): void {
    this.pending.set(
      what,
      attempt.then(() => void this.pending.delete(what)),
    );
  }

  /** Waits until all have ended, or for so many looks none has; answers those that have not. */
  async settled(stuckAfterLooks: number): Promise<readonly string[]> {
    const ended = new AbortController();
    const all = Promise.all(this.pending.values()).then(() => ended.abort());
    let before = this.pending.size;
    for (let idle = 0; this.pending.size > 0 && idle < stuckAfterLooks;) {
      await delay(LOOK_MS, ended.signal);
      // After the answers that came meanwhile: they may have waited for this process as long as the look has.
      await new Promise((resolve) => setImmediate(resolve));
      idle = this.pending.size < before ? 0 : idle + 1;
      before = this.pending.size;
    }
    this.isOver = true;
    if (this.pending.size === 0) await all;
    return [...this.pending.keys()];
  }
}

type LimitedLvol = OwnedLvol & {
  readonly uuid: string;
  readonly params: { readonly writeMibPerSecond: number };
};

function limitedAmong(journal: JournalPort): readonly LimitedLvol[] {
  return journal
    .ownedOfKind('lvol')
    .filter(
      (lvol): lvol is LimitedLvol => lvol.uuid !== null && (lvol.params.writeMibPerSecond ?? 0) > 0,
    );
}

const keyOf = (kind: Kind, name: string): string => `${kind} ${name}`;

/** The lane of the commands that change an export. */
function laneOf({ owner, params: { role } }: OwnedSubsystem): string {
  const isOfImage = role === 'image' || role === 'image-draft';
  return isOfImage ? imageCopyLane(owner) : `replica/${owner}`;
}
