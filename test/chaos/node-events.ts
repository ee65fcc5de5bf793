import { delay } from '@lariat/kernel';
import type { Random } from '../fuzz/support/random.js';
import type { ChaosCluster } from './chaos-cluster.js';
import { ProcessFaults } from './process-faults.js';

/** A node that is silent for so long is declared down (8 s), and one that is away for so long loses its replicas' grace. */
const LONG_MS = 12_000;
const SHORT_MS = 4_000;

/** What happens to nodes, one after the other or two at once; each is over when the node is on its way back. */
export class NodeEvents {
  private readonly processes: ProcessFaults;

  constructor(
    private readonly chaos: ChaosCluster,
    private readonly random: Random,
    private readonly said: (line: string) => void,
  ) {
    this.processes = new ProcessFaults(chaos.cluster, random);
  }

  private readonly events: Readonly<Record<string, (node: string) => Promise<void>>> = {
    'its agent is killed': (node) => this.processes.kill(node),
    'its target is killed': (node) => this.processes.kill(`${node}/target`),
    'agent and target are killed': async (node) => {
      await Promise.all([this.processes.kill(node), this.processes.kill(`${node}/target`)]);
    },
    'its agent is silent for a moment': (node) => this.silent(node, this.random.below(SHORT_MS)),
    'its agent is silent until it is given up': (node) => this.silent(node, LONG_MS),
    'its target hangs': (node) => this.silent(`${node}/target`, this.random.below(SHORT_MS)),
    'it stops in good order, and starts': async (node) => {
      await this.chaos.cluster.stopNode(node);
      await delay(this.random.below(SHORT_MS));
      await this.chaos.cluster.startNode(node);
    },
    'it loses its power for a moment': (node) => this.dead(node, this.random.below(SHORT_MS)),
    'it loses its power for long': (node) => this.dead(node, LONG_MS),
  };

  /** One event on one node, and at times a second one on another before the first is over. */
  async strike(): Promise<void> {
    const node = this.processes.anyNode();
    const others = [this.happen(node)];
    const second = this.processes.anyNode();
    if (second !== node && this.random.chance(0.25)) {
      await delay(this.random.below(SHORT_MS));
      others.push(this.happen(second));
    }
    await Promise.all(others);
    await delay(this.random.below(SHORT_MS));
  }

  /** Nothing more happens, and every node is back. */
  async heal(): Promise<void> {
    this.processes.thaw();
    await this.chaos.whole();
  }

  private async happen(node: string): Promise<void> {
    const name = this.random.pick(Object.keys(this.events));
    const began = performance.now();
    await this.events[name]?.(node);
    this.said(`${node}: ${name} (${Math.round(performance.now() - began)} ms)`);
  }

  private async silent(name: string, forMs: number): Promise<void> {
    const thaw = await this.processes.freeze(name);
    await delay(forMs);
    thaw();
  }

  private async dead(node: string, forMs: number): Promise<void> {
    await this.chaos.cluster.killNode(node);
    await delay(forMs);
    await this.chaos.cluster.startNode(node);
  }
}
