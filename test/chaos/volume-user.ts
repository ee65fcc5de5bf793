import { MIB } from '@lariat/kernel';
import { RegisterHistory } from '@lariat/testing';
import { Random } from '../fuzz/support/random.js';
import { type ChaosCluster, eventually } from './chaos-cluster.js';
import { BLOCK_BYTES } from './register-blocks.js';
import { RegisterClient, type RegisterWorld, readAll, violationsOf } from './register-client.js';

const SIZE_BYTES = 8 * MIB;
const OFFSETS = [0, BLOCK_BYTES, MIB, SIZE_BYTES - BLOCK_BYTES];
const CLIENTS = 2;
/** A node that is declared down, its replica's grace, and a rebuild. */
export const HEALED_MS = 120_000;

/** Hosts of a volume of three replicas on one node: what dies under them they use again when it is back. */
export class VolumeUser {
  private acknowledged = 0;
  private readonly world: RegisterWorld;
  private readonly clients: readonly RegisterClient[];
  private readonly running: readonly Promise<void>[];

  private constructor(
    private readonly chaos: ChaosCluster,
    readonly volume: string,
    seed: string,
  ) {
    this.world = {
      history: new RegisterHistory(),
      offsets: OFFSETS,
      find: async () => {
        const { state, attachment } = await this.view();
        if (state !== 'attached' || attachment?.endpoint == null) return undefined;
        return { epoch: attachment.epoch, endpoint: attachment.endpoint };
      },
      takenEpoch: () => 0,
      written: () => {
        this.acknowledged += 1;
      },
    };
    this.clients = Array.from(
      { length: CLIENTS },
      (_, index) =>
        new RegisterClient(
          `${volume}.${index}`,
          this.world,
          new Random(`${seed}/${volume}/${index}`),
        ),
    );
    this.running = this.clients.map((client) => client.run());
  }

  static async begin(
    chaos: ChaosCluster,
    volume: string,
    node: string,
    seed: string,
  ): Promise<VolumeUser> {
    await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 3 });
    await chaos.perform('volume.attach', { volume, node, frontend: 'nbd' });
    return new VolumeUser(chaos, volume, seed);
  }

  /** Writes that were acknowledged, so far. */
  get writes(): number {
    return this.acknowledged;
  }

  view() {
    return this.chaos.retrying('the volume to be shown', () =>
      this.chaos.client.request('volume.get', { volume: this.volume }),
    );
  }

  /** Resolves when all three replicas are in sync, nothing is done to the volume, and it is written to. */
  async wholeAndInUse(): Promise<void> {
    const before = this.acknowledged;
    await eventually(`${this.volume} to be whole and in use`, HEALED_MS, async () => {
      const { robustness, operation, replicas } = await this.view();
      const isWhole = robustness === 'healthy' && operation === null && replicas.length === 3;
      return isWhole && this.acknowledged > before ? { value: true } : undefined;
    });
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.stop();
    await Promise.all(this.running);
  }

  /** Of its users, who have stopped: what they have seen that no order of their calls explains. */
  async violations(): Promise<readonly string[]> {
    await readAll(this.world, 'after');
    return violationsOf(this.world.history);
  }

  /** Detaches it, and compares its replicas. */
  async replicasAtRest() {
    const { chaos, volume } = this;
    await chaos.perform('volume.detach', { volume });
    return chaos.retrying('the replicas to be compared', () =>
      chaos.client.request('replica.checksum', { volume }, { timeoutMs: 30_000 }),
    );
  }
}
