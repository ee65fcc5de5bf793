import { readFile } from 'node:fs/promises';
import { withDeadline } from '@lariat/kernel';
import { Lab } from '../../contract/support/lab.js';
import { connectNamespace, type NamespaceConnection } from '../../contract/support/nvme-host.js';
import { pattern, readAt, writeAt } from '../../contract/support/pattern.js';
import { TARGET_KINDS, type TargetKind } from '../../contract/support/target-kind.js';
import type { TargetProcess } from '../../contract/support/target-process.js';
import { ProcessWatch } from './process-watch.js';

const MIB = 1024 * 1024;
const NQN = 'nqn.2026-01.io.lariat:bystander';
const HOST = 'nqn.2026-01.io.lariat:bystander-host';
const SIZE_MIB = 4;
const CHECKED_BYTES = 64 * 1024;
/** How soon a valid request is answered, under attack and on a machine that others use too. */
const ANSWER_DEADLINE_MS = 10_000;

/** Lines that a target writes when it has met a bug; refusing bad input is none. */
const SIGNS_OF_BUGS = ['rpc handler failed', 'uncaught', 'Warning:'];

function quietSoftTarget(): TargetKind {
  const [kind] = TARGET_KINDS;
  if (kind === undefined) throw new Error('there is no kind of target');
  const command: TargetKind['command'] = (paths) => {
    const [program, ...args] = kind.command(paths);
    // Hundreds of thousands of refusals are no news.
    return [program, ...args.map((arg) => (arg === 'INFO' ? 'ERROR' : arg))];
  };
  return { ...kind, command };
}

export interface VictimOptions {
  /** Of what the process may ever have resident. */
  readonly rssLimitBytes: number;
  /** Makes what the fuzzer is after, before the process's descriptors are counted. */
  readonly prepare?: (target: TargetProcess) => Promise<void>;
}

/** A soft-target process under attack, with a volume of somebody else's that must not notice. */
export class Victim {
  private constructor(
    readonly lab: Lab,
    readonly target: TargetProcess,
    private readonly watch: ProcessWatch,
    private readonly content: Buffer,
    private readonly bystander: NamespaceConnection,
  ) {}

  static async start({ rssLimitBytes, prepare }: VictimOptions): Promise<Victim> {
    const lab = await Lab.open(quietSoftTarget());
    try {
      const target = await lab.startTarget();
      await target.makeStore();
      const lvol = await target.createLvol('bystander', SIZE_MIB);
      await target.exportBdev(NQN, lvol, HOST);
      await prepare?.(target);
      const bystander = await connectNamespace(target.port, NQN, HOST);
      lab.onClose(bystander.close);
      const content = pattern(SIZE_MIB * MIB);
      await writeAt(bystander.device, 0, content);
      await bystander.device.flush();
      const watch = await ProcessWatch.begin(target.pid, rssLimitBytes);
      return new Victim(lab, target, watch, content, bystander);
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  /** Alive, quick to answer, within its memory, and the bystander's data are there. */
  async check(): Promise<void> {
    await withDeadline('spdk_get_version', ANSWER_DEADLINE_MS, this.target.spdk.app.getVersion());
    const offset = Math.floor(Math.random() * SIZE_MIB * 16) * CHECKED_BYTES;
    const expected = this.content.subarray(offset, offset + CHECKED_BYTES);
    const found = await withDeadline(
      'a read of the bystander',
      ANSWER_DEADLINE_MS,
      this.bystander.device.read(offset, expected.length),
    );
    if (!found.equals(expected)) throw new Error(`the bystander's data at ${offset} have changed`);
    await this.watch.checkMemory();
  }

  /** After all: nothing of the bystander has changed, no descriptor is left open, and no bug was logged. */
  async checkEnd(): Promise<void> {
    const again = await connectNamespace(this.target.port, NQN, HOST);
    const found = await readAt(again.device, 0, this.content.length);
    await again.close();
    if (!found.equals(this.content)) throw new Error("the bystander's data have changed");
    process.stdout.write(`soft-target: ${await this.watch.report()}\n`);
    await this.watch.checkDescriptors();
    const log = await readFile(this.target.logPath, 'utf8');
    const bug = log.split('\n').find((line) => SIGNS_OF_BUGS.some((sign) => line.includes(sign)));
    if (bug !== undefined) throw new Error(`the target met a bug: ${bug}`);
  }
}
