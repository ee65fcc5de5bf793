import { Hopeless, waitUntil } from '../contract/support/wait-until.js';
import type { GuestCommands, RunningCommand } from './guest/guest-commands.js';

export const VERIFIED = 'all that was written is there';
const TIMEOUT_MS = 540_000;
const STOP = '/run/load-stops';
/** Rounds until it is told to stop, one more in any case. */
const ROUNDS = 'while :; do "$@" || exit; [ -e "$0" ] && break; done';

export interface LoadOptions {
  /** Of all rounds together. */
  readonly timeoutMs?: number;
  /** Missing: as many as there can be. */
  readonly writesPerSecond?: number;
}

/** A device whose kernel counts what is written to it. */
export interface WrittenTo {
  readonly device: string;
  sectorsWritten(): Promise<number>;
}

/**
 * fio, round after round: it writes every block once, in an order that no other round has, and then compares each with
 * what it wrote there and when. Past the page cache, so that the device is what is asked.
 */
export class VerifiedLoad {
  private constructor(
    private readonly guest: GuestCommands,
    private readonly rounds: RunningCommand,
  ) {}

  static async start(
    guest: GuestCommands,
    file: string,
    sizeMib: number,
    { timeoutMs = TIMEOUT_MS, writesPerSecond }: LoadOptions = {},
  ): Promise<VerifiedLoad> {
    await guest.run(['rm', '-f', STOP]);
    const rounds = await guest.start(
      [
        ...(['sh', '-c', ROUNDS, STOP] as const),
        ...['fio', '--name=load', `--filename=${file}`, `--size=${sizeMib}M`],
        ...['--rw=randwrite', '--bs=16k', '--randrepeat=0', '--direct=1'],
        ...['--ioengine=libaio', '--iodepth=8', '--thread', '--group_reporting'],
        // Its counts of the disks beneath would want each of them to be there when a round begins.
        '--disk_util=0',
        ...['--verify=crc32c', '--verify_fatal=1', '--end_fsync=1', '--eta=never'],
        ...(writesPerSecond === undefined ? [] : [`--rate_iops=,${writesPerSecond}`]),
      ],
      { timeoutMs },
    );
    return new VerifiedLoad(guest, rounds);
  }

  /** Resolves when the kernel has written to the device once more; rejects when the load has ended instead. */
  async expectWrites(to: WrittenTo): Promise<void> {
    const before = await to.sectorsWritten();
    await waitUntil(`writes to ${to.device}`, TIMEOUT_MS, async () => {
      if (this.hasEnded()) throw new Hopeless(`the load has ended: ${await this.outcome()}`);
      return (await to.sectorsWritten()) > before;
    });
  }

  hasEnded(): boolean {
    return this.rounds.hasEnded();
  }

  /** Resolves at the end of the round that it is in: VERIFIED, or what fio says is wrong. */
  async stop(): Promise<string> {
    await this.guest.run(['touch', STOP]);
    return this.outcome();
  }

  private async outcome(): Promise<string> {
    const { exitCode, stdout, stderr } = await this.rounds.done;
    return exitCode === 0 && stderr === '' ? VERIFIED : `exit code ${exitCode}: ${stderr}${stdout}`;
  }
}
