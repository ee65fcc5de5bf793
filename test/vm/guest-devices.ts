import { join } from 'node:path';
import { CHECKOUT } from '@lariat/cli';
import { frontendHostNqn } from '@lariat/contracts';
import { rolldown } from 'rolldown';
import { HOST_ADDRESS, type Guest } from './guest/guest.js';

const SOURCE = join(CHECKOUT, 'apps', 'node-agent', 'itest', 'devices-by-hand.ts');
const PROGRAM = join(CHECKOUT, '.lariat', 'vm', 'devices-by-hand.js');
const FOLDER = '/data/lariat';
const TIMEOUT_MS = 120_000;

export type Answer = Readonly<Record<string, unknown>>;

/**
 * The part of the agent that makes devices, in the guest: a process a command, which is killed when it has answered, as if
 * the agent were, so that each step can be looked at by itself. Its journal is on the guest's disk.
 */
export class GuestDevices {
  constructor(private readonly guest: Pick<Guest, 'commands'>) {}

  /** One file, without what the command does not use: in the guest each module costs. */
  static async build(): Promise<void> {
    const bundle = await rolldown({
      input: SOURCE,
      platform: 'node',
      external: ['lmdb'],
      treeshake: { moduleSideEffects: false },
    });
    await bundle.write({ file: PROGRAM, format: 'esm' });
    await bundle.close();
  }

  async mountJournal(): Promise<void> {
    const { commands } = this.guest;
    await commands.run(['/usr/bin/mkdir', '-p', '/data']);
    await commands.run(['/usr/bin/mount', '/dev/vdb', '/data']);
    await this.prepare();
  }

  /** With the journal where the guest's memory is, which a reset takes. */
  async prepare(): Promise<void> {
    const { commands } = this.guest;
    await commands.run(['/usr/bin/mkdir', '-p', FOLDER]);
    await commands.run(['/usr/sbin/modprobe', '-a', 'nvme-tcp', 'dm-mod']);
  }

  /** As on a target that may not read zeros after a discard. */
  async refuseDiscards(): Promise<void> {
    await this.guest.commands.run(['/usr/bin/touch', join(FOLDER, 'no-discards')]);
  }

  /** As the command `frontend.start` does; `endpoint` is one of frontend `nvmf` on the host. */
  async attach(volume: string, uuid: string, epoch: number, endpoint: string): Promise<Answer> {
    const { port, pathname } = new URL(endpoint.replace('nvme+tcp:', 'http:'));
    const nqn = decodeURIComponent(pathname.slice(1));
    const record = {
      ...{ kind: 'frontend', name: volume, uuid, owner: volume, volume, operation: 'op', epoch },
      params: {
        endpoint: { nqn, traddr: HOST_ADDRESS, trsvcid: port, uuid },
        ...{ frontend: 'kernel', socketPath: null, process: null },
        hostNqn: frontendHostNqn(volume, epoch),
      },
    };
    return this.carryOut('attach', JSON.stringify(record));
  }

  repair(volume: string): Promise<Answer> {
    return this.carryOut('repair', volume);
  }

  users(volume: string): Promise<Answer> {
    return this.carryOut('users', volume);
  }

  release(volume: string, how: 'unused' | 'forced'): Promise<Answer> {
    return this.carryOut('release', volume, how);
  }

  /** As the command `engine.close-gate` does, on a target that can't hold writes. */
  close(volume: string, gate: string, forMs: number): Promise<Answer> {
    return this.carryOut('close', volume, gate, String(forMs));
  }

  cutOff(volume: string): Promise<Answer> {
    return this.carryOut('cut-off', volume);
  }

  open(volume: string, gate: string): Promise<Answer> {
    return this.carryOut('open', volume, gate);
  }

  private async carryOut(...args: readonly string[]): Promise<Answer> {
    const { stdout, stderr } = await this.guest.commands.exec(
      [process.execPath, PROGRAM, FOLDER, ...args],
      { timeoutMs: TIMEOUT_MS },
    );
    if (stdout === '') throw new Error(`${args.join(' ')} in the guest: ${stderr}`);
    const answer = JSON.parse(stdout) as Answer;
    // What programs have said is what explains a test that fails.
    if ('code' in answer) return { ...answer, log: stderr };
    return answer;
  }
}
