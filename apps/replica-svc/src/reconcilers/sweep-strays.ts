import {
  type CommandMap,
  type CommandName,
  type Inventory,
  type VolumeRecord,
  comparePositions,
  positionOf,
} from '@lariat/contracts';
import { type Clock, KeyedQueue, type ReconcileCounts, deriveOperationId } from '@lariat/kernel';
import type { CommandClient, MarkBucket } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { VolumeView } from '../adapters/volume-view.js';

/** How long a thing must have had no owner before it goes: longer than any step that makes one takes. */
const STRAY_FOR_MS = 5_000;
const COMMAND_TIMEOUT_MS = 15_000;

interface Stray {
  readonly key: string;
  readonly volume: string;
  readonly command: CommandName;
  readonly input: CommandMap[CommandName]['input'];
}

/**
 * What of a node's inventory no record wants. A replica has an owner while its volume's record lists it; an engine
 * while its volume is attached there in its epoch. A volume with an operation under way is left alone, but for an engine
 * while it is attached nowhere. So is one that
 * is not on record, unless it is known that it was deleted: a store that has lost its data knows nothing of any volume,
 * and what a node has is then all there is of it. Nor does a record that is older than what the node keeps decide. Pure.
 */
export function findStrays(
  inventory: Inventory,
  record: (volume: string) => VolumeRecord | undefined,
  wasDeleted: (volume: string) => boolean,
): readonly Stray[] {
  const strays: Stray[] = [];
  const mayGo = (volume: string, owner: VolumeRecord | undefined): boolean =>
    owner === undefined
      ? wasDeleted(volume)
      : owner.operation === null && owner.inDoubt === undefined;
  for (const { volume, epoch } of inventory.engines) {
    const owner = record(volume);
    // No operation wants an engine of a volume that is attached nowhere; one may well wait for that engine to go.
    const isNoOnes = owner?.attachment === null && owner.inDoubt === undefined;
    if (!isNoOnes && !mayGo(volume, owner)) continue;
    if (owner !== undefined && owner.epoch < epoch) continue;
    const wanted = owner?.attachment?.node === inventory.node && owner.attachment.epoch === epoch;
    if (wanted) continue;
    strays.push({
      volume,
      key: `frontend/${volume}/${epoch}`,
      command: 'frontend.stop',
      input: { volume, epoch, force: true },
    });
    strays.push({
      volume,
      key: `engine/${volume}/${epoch}`,
      command: 'engine.stop',
      input: { volume, epoch },
    });
  }
  for (const { replica, volume, record: copy = null } of inventory.replicas) {
    const owner = record(volume);
    if (!mayGo(volume, owner)) continue;
    if (owner !== undefined && copy !== null && comparePositions(copy, positionOf(owner)) > 0)
      continue;
    if (owner?.replicas.some(({ id, node }) => id === replica && node === inventory.node) === true)
      continue;
    strays.push({
      volume,
      key: `replica/${replica}`,
      command: 'replica.delete',
      // What the node keeps by the time that it hears of this decides.
      input: { replica, volume, ...(owner === undefined ? {} : { record: positionOf(owner) }) },
    });
  }
  return strays;
}

/** Finishes, when a node is back, the deletions that could not wait for it. */
export class StraySweep {
  private readonly firstSeenMs = new Map<string, number>();
  private readonly sweeping = new Set<string>();
  /** What was said already. */
  private readonly unknown = new Set<string>();
  /** What a volume has too much goes in order, frontend before engine; one that hangs holds up no other. */
  private readonly queue = new KeyedQueue();

  constructor(
    private readonly commands: CommandClient,
    private readonly volumes: VolumeView,
    private readonly deleted: Pick<MarkBucket, 'has'>,
    private readonly clock: Clock,
    private readonly log: Log,
    private readonly counts: ReconcileCounts,
  ) {}

  /** Looks at one inventory of a node. */
  async consider(inventory: Inventory): Promise<void> {
    const { node, engines, replicas } = inventory;
    this.counts.looked('strays', engines.length + replicas.length);
    // Most of a node's inventory is wanted, and the cache says so; only what looks stray is asked for anew, since
    // what is deleted on old news is deleted wrongly.
    const suspected = findStrays(
      inventory,
      (volume) => this.volumes.cached(volume),
      () => true,
    );
    const strays = suspected.length === 0 ? [] : await this.confirm(inventory, suspected);
    this.forgetOthers(node, strays);
    await Promise.all(
      strays.map((stray) =>
        this.queue.run(`${node}/${stray.volume}`, () => this.sweepOne(node, stray)),
      ),
    );
  }

  private async confirm(
    inventory: Inventory,
    suspected: readonly Stray[],
  ): Promise<readonly Stray[]> {
    const named = new Set(suspected.map(({ volume }) => volume));
    const records = new Map<string, VolumeRecord>();
    const deleted = new Set<string>();
    await Promise.all(
      Array.from(named, async (id) => {
        const record = await this.volumes.fresh(id);
        if (record !== undefined) records.set(id, record);
        else if (await this.deleted.has(id)) deleted.add(id);
        else this.sayUnknown(inventory.node, id);
      }),
    );
    const rest = {
      ...inventory,
      replicas: inventory.replicas.filter(({ volume }) => named.has(volume)),
      engines: inventory.engines.filter(({ volume }) => named.has(volume)),
    };
    return findStrays(
      rest,
      (volume) => records.get(volume),
      (volume) => deleted.has(volume),
    );
  }

  private sayUnknown(node: string, volume: string): void {
    const key = `${node}/${volume}`;
    if (this.unknown.has(key)) return;
    this.unknown.add(key);
    this.log.warn("a node has a volume that is not on record: see 'lariat recover --dry-run'", {
      node,
      volume,
    });
  }

  private forgetOthers(node: string, strays: readonly Stray[]): void {
    const present = new Set(strays.map(({ key }) => `${node}/${key}`));
    for (const key of this.firstSeenMs.keys()) {
      if (key.startsWith(`${node}/`) && !present.has(key)) this.firstSeenMs.delete(key);
    }
  }

  private async sweepOne(node: string, stray: Stray): Promise<void> {
    const key = `${node}/${stray.key}`;
    const nowMs = this.clock.monotonicMs();
    const since = this.firstSeenMs.get(key) ?? nowMs;
    this.firstSeenMs.set(key, since);
    if (nowMs - since < STRAY_FOR_MS || this.sweeping.has(key)) return;
    this.sweeping.add(key);
    this.counts.repaired('strays');
    try {
      const wallMs = this.clock.nowMs();
      await this.commands.send(node, {
        id: `sweep/${key}/${wallMs}`,
        command: stray.command,
        operation: deriveOperationId('sweep', key),
        step: 'sweep',
        fence: 1,
        deadlineAtMs: wallMs + COMMAND_TIMEOUT_MS,
        input: stray.input,
      });
      this.log.info('stray removed', { node, stray: stray.key });
      this.firstSeenMs.delete(key);
    } catch (error) {
      this.log.warn('stray not removed', { node, stray: stray.key, error });
    } finally {
      this.sweeping.delete(key);
    }
  }
}
