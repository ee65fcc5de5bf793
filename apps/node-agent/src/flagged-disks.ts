import { join } from 'node:path';
import { delay, newDiskId, toLariatError } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import type { AgentConfig } from './config.js';
import type { NodeParts } from './node-parts.js';
import type { JournalPort } from './ports/journal.port.js';

type DiskFlag = AgentConfig['disks'][number];

const TARGET_WAIT_MS = 5_000;
const RETRY_MS = 1_000;

/** The disks that the agent was started with: each is added once, and is the same disk at every start. */
export class FlaggedDisks {
  private left: readonly DiskFlag[];

  constructor(
    private readonly config: Pick<AgentConfig, 'disks' | 'dataDir'>,
    private readonly journal: JournalPort,
    private readonly parts: Pick<NodeParts, 'keeper' | 'queue' | 'disks'>,
    private readonly log: Log,
    private readonly signal: AbortSignal,
  ) {
    this.left = config.disks;
  }

  /** All but those of which nobody can tell yet whose they are: the node does not wait for its services with what it has. */
  async add(): Promise<void> {
    // Without its target, which others start, the node is there, and what it lacks is told.
    if (!this.parts.keeper.ready) return;
    const left: DiskFlag[] = [];
    for (const disk of this.config.disks) {
      try {
        await this.addOne(disk);
      } catch (reason) {
        const { code, kind, message } = toLariatError(reason);
        if (code !== 'DISK_TAKEN' && kind !== 'unavailable') throw reason;
        this.log.warn('disk not added yet', { disk: disk.name, error: message });
        left.push(disk);
      }
    }
    this.left = left;
  }

  /** The rest, as soon as they can be. */
  goOn(): void {
    for (const disk of this.left) void this.addUntilDone(disk);
  }

  private async addUntilDone(disk: DiskFlag): Promise<void> {
    let said = '';
    while (!this.signal.aborted) {
      try {
        await this.parts.keeper.whenReady(TARGET_WAIT_MS);
        await this.addOne(disk);
        this.log.info('disk added', { disk: disk.name });
        return;
      } catch (reason) {
        const { message } = toLariatError(reason);
        // Said once: it may stay so until somebody does something.
        if (message !== said) this.log.warn('disk not added', { disk: disk.name, error: message });
        said = message;
      }
      await delay(RETRY_MS, this.signal);
    }
  }

  private async addOne({ name, sizeBytes }: DiskFlag): Promise<void> {
    const { journal } = this;
    const key = `disk/${name}`;
    const known = journal.setting(key);
    const disk = typeof known === 'string' ? known : newDiskId();
    // Durable first: the same name must be the same disk after a crash in the middle.
    if (known === undefined) await journal.putSetting(key, disk);
    const path = join(this.config.dataDir, 'disks', `${name}.img`);
    const { queue, disks } = this.parts;
    // One that is on record is loaded already, or lost: then its watch tells of it, and the node does without.
    if (journal.owned('disk', disk)?.uuid != null) return;
    const { id } = await queue.run(`disk/${disk}`, () =>
      disks.add({ disk, name, path, tags: [], sizeBytes }, 'agent-start'),
    );
    // It was a disk of this cluster before, and has kept its id.
    if (id !== disk) await journal.putSetting(key, id);
  }
}
