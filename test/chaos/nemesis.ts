import type { RequestMap, VolumeView } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import type { Random } from '../fuzz/support/random.js';
import { type ChaosCluster, eventually } from './chaos-cluster.js';
import { ProcessFaults } from './process-faults.js';
import type { Attached } from './register-client.js';

const HEAL_MS = 60_000;
const ANSWER_MS = 3_000;
const FRONTEND = 'nbd';

/** Does harm to one attached volume's cluster, one fault after the other, and knows where the volume is. */
export class Nemesis {
  /** Attachments up to this epoch have been, or are being, taken from their node. */
  takenEpoch = 0;
  private readonly processes: ProcessFaults;

  constructor(
    private readonly chaos: ChaosCluster,
    private readonly volume: string,
    private readonly random: Random,
    private readonly said: (line: string) => void,
  ) {
    this.processes = new ProcessFaults(chaos.cluster, random);
  }

  /** What can be done, by name; each resolves when the fault itself is over, healed or not. */
  private readonly faults: Readonly<Record<string, () => Promise<void>>> = {
    'agent killed': () => this.processes.kill(this.processes.anyNode()),
    'target killed': () => this.processes.kill(`${this.processes.anyNode()}/target`),
    'engine target killed': async () =>
      this.processes.kill(`${(await this.view()).attachment?.node ?? 'n1'}/target`),
    'volume-svc killed': () => this.processes.kill('volume-svc'),
    'replica-svc killed': () => this.processes.kill('replica-svc'),
    'nats killed': () => this.processes.kill('nats'),
    'target frozen': async () => {
      const thaw = await this.processes.freeze(`${this.processes.anyNode()}/target`);
      await delay(200 + this.random.below(3_500));
      thaw();
    },
    'nats frozen while a target dies': async () => {
      const thaw = await this.processes.freeze('nats');
      await this.processes.kill(`${this.processes.anyNode()}/target`);
      await delay(500 + this.random.below(2_000));
      thaw();
    },
    'engine node killed': async () => {
      const node = (await this.view()).attachment?.node ?? 'n1';
      await this.chaos.cluster.killNode(node);
      await delay(this.random.below(3_000));
      await this.chaos.cluster.startNode(node);
    },
    'taken by force': () => this.take(),
    'taken by force from a frozen node': async () => {
      const { attachment } = await this.view();
      if (attachment === null) return;
      const agent = await this.processes.freeze(attachment.node);
      const target = await this.processes.freeze(`${attachment.node}/target`);
      await this.take();
      await delay(this.random.below(1_500));
      target();
      agent();
    },
  };

  /** One fault, picked at random, and the wait until the volume takes writes again. */
  async strike(writesResume: () => Promise<void>): Promise<void> {
    const name = this.random.pick(Object.keys(this.faults));
    const began = performance.now();
    const since = (): number => Math.round(performance.now() - began);
    await this.faults[name]?.();
    const overMs = since();
    await this.attach();
    await writesResume();
    const writableMs = since();
    if (this.random.chance(0.7)) await this.mend();
    this.said(`${name}: over after ${overMs} ms, writable ${writableMs} ms, mended ${since()} ms`);
  }

  /** Ends all that is going on, and gives the volume all its replicas back. */
  async heal(): Promise<void> {
    this.processes.thaw();
    await this.chaos.whole();
    await this.attach();
    await eventually('all replicas to be in sync', 2 * HEAL_MS, async () => {
      const view = await this.view();
      if (view.robustness === 'healthy' && view.operation === null) return { value: view };
      await this.mend();
      return undefined;
    });
  }

  async find(): Promise<Attached | undefined> {
    const { state, attachment } = await this.chaos.client.request(
      'volume.get',
      { volume: this.volume },
      { timeoutMs: 1_000 },
    );
    if (state !== 'attached' || attachment?.endpoint == null) return undefined;
    return { epoch: attachment.epoch, endpoint: attachment.endpoint };
  }

  view(): Promise<VolumeView> {
    return this.chaos.retrying('the volume to be shown', () =>
      this.chaos.client.request('volume.get', { volume: this.volume }, { timeoutMs: ANSWER_MS }),
    );
  }

  /** Attaches the volume on another node than the one that has it. */
  private async take(): Promise<void> {
    const { attachment, epoch } = await this.place();
    const { nodes } = await this.chaos.retrying('the nodes to be shown', () =>
      this.chaos.client.request('node.list', {}, { timeoutMs: ANSWER_MS }),
    );
    const others = nodes.filter(({ name, state }) => name !== attachment && state === 'ready');
    if (others.length === 0) return;
    const node = this.random.pick(others).name;
    this.takenEpoch = epoch;
    await this.end('volume.attach', { volume: this.volume, node, frontend: FRONTEND, force: true });
    const after = await this.place();
    // Refused or undone at once: the engine that runs is the volume's still.
    if (after.epoch === epoch && after.attachment !== undefined) this.takenEpoch = epoch - 1;
  }

  private async place(): Promise<{ attachment: string | undefined; epoch: number }> {
    return eventually('the volume to rest', HEAL_MS, async () => {
      const { state, attachment } = await this.view();
      if (state === 'attaching' || state === 'detaching') return undefined;
      return { value: { attachment: attachment?.node, epoch: attachment?.epoch ?? 0 } };
    });
  }

  /** The volume is attached somewhere, whatever became of it. */
  private async attach(): Promise<void> {
    await eventually('the volume to be attached', HEAL_MS, async () => {
      const { state, operation } = await this.view();
      if (state === 'attached') return { value: true };
      if (operation === null) {
        const { nodes } = await this.chaos.client.request(
          'node.list',
          {},
          { timeoutMs: ANSWER_MS },
        );
        const ready = nodes.filter((node) => node.state === 'ready');
        if (ready.length === 0) return undefined;
        const node = this.random.pick(ready).name;
        await this.end('volume.attach', { volume: this.volume, node, frontend: FRONTEND });
      }
      return undefined;
    });
  }

  /** Begins a rebuild when a replica is missing, and waits for its end, whatever it is. */
  private async mend(): Promise<void> {
    const { robustness, operation } = await this.view();
    if (robustness === 'degraded' && operation === null)
      await this.end('replica.rebuild', { volume: this.volume });
  }

  private end<Name extends 'volume.attach' | 'replica.rebuild'>(
    name: Name,
    body: RequestMap[Name]['request'],
  ): Promise<void> {
    return this.chaos.settle(name, body, 2 * HEAL_MS, this.said);
  }
}
