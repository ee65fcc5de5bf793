import { nodeHostNqn } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, toLariatError, type KeyedQueue } from '@lariat/kernel';
import type { OwnedController, OwnedDisk, OwnedSubsystem } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { LogPort } from '../ports/log.port.js';
import type { ListenPort, TargetPort } from '../ports/target.port.js';
import type { Controllers } from './controllers.js';
import type { Disks } from './disks.js';
import type { Exports } from './exports.js';
import { imageCopyLane } from './image-copies.js';

export interface RestoreParts {
  readonly node: string;
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly listen: ListenPort;
  readonly disks: Disks;
  readonly exports: Exports;
  readonly controllers: Controllers;
  /** Of the lvol of this uuid: why its disk is lost. */
  readonly lost: (uuid: string | null) => string | undefined;
  readonly queue: KeyedQueue;
  readonly log: LogPort;
}

const DISCOVERY_NQN = 'nqn.2014-08.org.nvmexpress.discovery';

/**
 * Puts the target back to what the ownership records say, from whatever it is now: on a fresh target all of
 * it, on an adopted one what is missing. Engines are the engine watch's work, since they wait for other nodes.
 */
export class Restore {
  private failures = 0;

  constructor(private readonly parts: RestoreParts) {}

  /** True while something could not be put back; `retry` is to be called then. */
  get isIncomplete(): boolean {
    return this.failures > 0;
  }

  /** On a target that has just come; what fails here is logged and left to `retry`. */
  async all(): Promise<void> {
    this.failures = 0;
    await this.listenOnPort();
    for (const disk of this.parts.journal.ownedOfKind('disk')) await this.loadDisk(disk);
    const { journal } = this.parts;
    // Side by side: a node that does not answer must not hold up the others.
    await Promise.all(journal.ownedOfKind('controller').map((record) => this.connect(record)));
    for (const record of journal.ownedOfKind('subsystem')) {
      if (record.params.role === 'image') await this.endOwnReading(record);
      else await this.export(record);
    }
  }

  /** Each thing in the lane of the commands on it, by its record as it is then; disks are looked after by their watch. */
  async retry(): Promise<void> {
    const { journal, queue } = this.parts;
    this.failures = 0;
    const inLane = (
      { owner, params }: OwnedSubsystem,
      task: () => Promise<void>,
    ): Promise<void> => {
      const isOfImage = params.role === 'image' || params.role === 'image-draft';
      return queue.run(isOfImage ? imageCopyLane(owner) : `replica/${owner}`, task);
    };
    await Promise.all([
      ...journal.ownedOfKind('controller').map(({ name, owner, params }) => {
        const lane = params.role === 'leg' ? `volume/${owner}` : `replica/${owner}`;
        return queue.run(lane, async () => {
          const record = journal.owned('controller', name);
          if (record !== undefined) await this.connect(record);
        });
      }),
      ...journal.ownedOfKind('subsystem').map((subsystem) =>
        inLane(subsystem, async () => {
          const record = journal.owned('subsystem', subsystem.name);
          // A checksum that runs now is not one that a restart cut off.
          if (record !== undefined && record.params.role !== 'checksum') await this.export(record);
        }),
      ),
    ]);
  }

  private async loadDisk(disk: OwnedDisk): Promise<void> {
    // One that was never finished is finished by its command's next delivery.
    if (disk.uuid === null) return;
    try {
      await this.parts.disks.load(disk);
    } catch (reason) {
      // One disk that is lost keeps nothing else of the node from coming back; its watch tells of it.
      const error = toLariatError(reason).message;
      this.parts.log.error('a disk could not be loaded', { disk: disk.name, error });
    }
  }

  private async connect(record: OwnedController): Promise<void> {
    const { journal, controllers } = this.parts;
    const { role, replica } = record.params;
    // A copy attaches by itself when its command runs again.
    if (role === 'copy') return;
    if (role === 'source') {
      await this.attempt(`controller ${record.name}`, () => controllers.apply(record));
      return;
    }
    const engine = journal.owned('raid', record.owner);
    if (engine?.params.legs.some((leg) => leg.replica === replica) === true) return;
    // An attach that came up after its engine had gone on without it.
    await this.attempt(`stray controller ${record.name}`, () => controllers.remove(record.name));
  }

  private async export(record: OwnedSubsystem): Promise<void> {
    const { exports } = this.parts;
    const { role } = record.params;
    if (role === 'volume' || this.parts.lost(record.uuid) !== undefined) return;
    const what = `export ${record.name}`;
    // A checksum that the restart cut off begins anew; its export serves no one.
    if (role === 'checksum') await this.attempt(what, () => exports.remove(record.name));
    else await this.attempt(what, () => exports.apply(record));
  }

  /** Others go on reading an image's copy; what this node itself read was cut off, and begins anew. */
  private async endOwnReading(record: OwnedSubsystem): Promise<void> {
    const { node, journal, exports } = this.parts;
    const hosts = record.params.hosts.filter((host) => host !== nodeHostNqn(node));
    const what = `export ${record.name}`;
    if (hosts.length === 0) {
      await this.attempt(what, () => exports.remove(record.name));
      return;
    }
    const rest = { ...record, params: { ...record.params, hosts } };
    await journal.putOwned(rest);
    await this.attempt(what, () => exports.apply(rest));
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

  private async attempt(what: string, task: () => Promise<unknown>): Promise<void> {
    try {
      await task();
    } catch (reason) {
      this.failures += 1;
      this.parts.log.warn('could not be put back yet', {
        what,
        error: toLariatError(reason).message,
      });
    }
  }
}
