import type { RunningCommand } from './guest/guest-commands.js';

export interface VerifiedLoad {
  readonly sizeMib: number;
  /** For how long, instead of each block once; what is written again is verified as it was written last. */
  readonly seconds?: number;
}

/** fio writes blocks that name themselves, past the page cache, and then reads and compares every one. */
export function verifyArguments(
  file: string,
  { sizeMib, seconds }: VerifiedLoad,
): readonly [string, ...string[]] {
  return [
    ...(['fio', '--name=load', `--filename=${file}`, `--size=${sizeMib}M`] as const),
    ...['--rw=randwrite', '--bs=16k', '--direct=1'],
    ...['--ioengine=libaio', '--iodepth=8', '--thread', '--group_reporting'],
    // One that is not written twice at a time is the one whose content is known.
    ...['--verify=crc32c', '--verify_fatal=1', '--do_verify=1', '--serialize_overlap=1'],
    ...(seconds === undefined ? [] : ['--time_based', `--runtime=${seconds}`]),
  ];
}

export const VERIFIED = 'all that was written is there';

/** VERIFIED, or what fio says is wrong. */
export async function outcomeOf(load: RunningCommand): Promise<string> {
  const { exitCode, stdout, stderr } = await load.done;
  return exitCode === 0 && stderr === '' ? VERIFIED : `exit code ${exitCode}: ${stderr}${stdout}`;
}
