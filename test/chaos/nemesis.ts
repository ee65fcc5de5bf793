import { type VolumeView, isEnded } from '@lariat/contracts';
import { delay, isRetryable, toLariatError } from '@lariat/kernel';
import type { Random } from '../fuzz/support/random.js';
import { type ChaosCluster, eventually } from './chaos-cluster.js';
import type { Attached } from './register-client.js';

const HEAL_MS = 60_000;
const ANSWER_MS = 3_000;
const FRONTEND = 'nbd';

/** Does harm to one attached volume's cluster, one fault after the other, and knows where the volume is. */
export class Nemesis {
  /** Attachments up to this epoch have been, or are being, taken from their node. */
  takenEpoch = 0;
  private readonly frozen = new Set<number>();

  constructor(
    private readonly chaos: ChaosCluster,
    private readonly volume: string,
    private readonly random: Random,
    private readonly said: (line: string) => void,
  ) {}

  /** What can be done, by name; each resolves when the fault itself is over, healed or not. */
  private readonly faults: Readonly<Record<string, () => Promise<void>>> = {
    'agent killed': () => this.kill(this.anyNode()),
    'target killed': () => this.kill(`${this.anyNode()}/target`),
    'engine target killed': async () =>
      this.kill(`${(await this.view()).attachment?.node ?? 'n1'}/target`),
    'volume-svc killed': () => this.kill('volume-svc'),
    'replica-svc killed': () => this.kill('replica-svc'),
    'nats killed': () => this.kill('nats'),
    'target frozen': async () => {
      const thaw = await this.freeze(`${this.anyNode()}/target`);
      await delay(200 + this.random.below(3_500));
      thaw();
    },
    'nats frozen while a target dies': async () => {
      const thaw = await this.freeze('nats');
      await this.kill(`${this.anyNode()}/target`);
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
      const agent = await this.freeze(attachment.node);
      const target = await this.freeze(`${attachment.node}/target`);
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
    for (const pid of this.frozen) process.kill(pid, 'SIGCONT');
    this.frozen.clear();
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

  private anyNode(): string {
    return this.random.pick(
      this.chaos.cluster
        .processes()
        .filter(({ kind }) => kind === 'agent')
        .map(({ name }) => name),
    );
  }

  private async kill(name: string): Promise<void> {
    await this.chaos.cluster.kill(name).catch((error: unknown) => {
      // It had died before, and is on its way back.
      if (toLariatError(error).code !== 'PROCESS_NOT_FOUND') throw error;
    });
  }

  /** Answers what makes it go on again. A target that an agent puts in the place of a frozen one is left alone. */
  private async freeze(name: string): Promise<() => void> {
    const pid = await this.chaos.cluster.kill(name, 'SIGSTOP').catch((error: unknown) => {
      if (toLariatError(error).code === 'PROCESS_NOT_FOUND') return undefined;
      throw error;
    });
    if (pid === undefined) return () => undefined;
    this.frozen.add(pid);
    return () => {
      if (this.frozen.delete(pid)) process.kill(pid, 'SIGCONT');
    };
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

  /** Asks, and waits until the operation has ended, in whatever way. */
  private async end(name: 'volume.attach' | 'replica.rebuild', body: object): Promise<void> {
    const { client } = this.chaos;
    let id: string;
    try {
      const answer = (await client.requestRaw(
        name,
        { ...body, wait: false },
        {
          timeoutMs: ANSWER_MS,
        },
      )) as { operation?: { id: string } | null };
      if (answer.operation?.id === undefined) return;
      id = answer.operation.id;
    } catch (error) {
      // Refused, or not answered: what became of it is seen by whoever looks next.
      this.said(`${name}: ${toLariatError(error).message}`);
      return;
    }
    const ended = await eventually(`${name} (${id}) to end`, 2 * HEAL_MS, async () => {
      const view = await client
        .request('operation.get', { operation: id }, { timeoutMs: ANSWER_MS })
        .catch((error: unknown) => {
          const { kind, code } = toLariatError(error);
          if (isRetryable(kind) || code === 'INTERNAL') return undefined;
          throw error;
        });
      return view !== undefined && isEnded(view.state) ? { value: view } : undefined;
    });
    if (ended.state === 'stuck') throw new Error(`${name} is stuck: ${JSON.stringify(ended)}`);
    if (ended.state === 'failed') this.said(`${name} was undone: ${ended.error?.message ?? '?'}`);
  }
}
