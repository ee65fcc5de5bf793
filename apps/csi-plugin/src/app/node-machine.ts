import type { DeviceFacts } from '../domain/device.js';
import { Refusal } from '../domain/refusal.js';
import type { Program } from '../domain/program.js';
import { type Mount, mountAt } from '../domain/mount-table.js';
import { PROBED_BYTES, type Probe, probeOf } from '../domain/superblock.js';
import type { CallScope } from '../grpc/messages.js';
import { type CommandEnd, CommandUnknown, type HostPort } from '../ports/host.port.js';

const SHORT_MS = 10_000;
/** mkfs and checks take as long as the volume is large: the caller's deadline, and at least that. */
const LONG_MS = 120_000;

export interface Work {
  readonly volume: string;
  readonly scope: CallScope;
}

/** What the node part does on its machine: commands and looks, whose failures are told in the interface's codes. */
export class NodeMachine {
  constructor(readonly host: HostPort) {}

  /** Its end, whatever the code; one that is not known is to be asked for again. */
  async run(
    { volume }: Work,
    program: Program,
    why: string,
    time: 'short' | 'long' = 'short',
    on?: DeviceFacts,
  ): Promise<CommandEnd> {
    const deadlineMs = time === 'short' ? SHORT_MS : LONG_MS;
    const told = { deadlineMs, volume, why, ...(on === undefined ? {} : { on }) };
    try {
      return await this.host.run({ ...program, ...told });
    } catch (error) {
      if (!(error instanceof CommandUnknown)) throw error;
      throw new Refusal('UNAVAILABLE', `${program.program}, run to ${why}: ${error.message}`);
    }
  }

  /** Must end with 0. */
  async do(
    work: Work,
    program: Program,
    why: string,
    time?: 'short' | 'long',
    on?: DeviceFacts,
  ): Promise<void> {
    const { code, stderr } = await this.run(work, program, why, time, on);
    if (code === 0) return;
    throw new Refusal(
      'UNAVAILABLE',
      `${program.program}, run to ${why}, ended with ${code}: ${stderr.trim().slice(-300)}`,
    );
  }

  /** Reads 128 KiB past the page cache: what a device that is gone has left there must not answer for it. */
  async probe({ volume }: Work, device: string, fromBytes = 0): Promise<Probe> {
    const program = {
      program: 'dd',
      args: [
        ...[`if=${device}`, `bs=${PROBED_BYTES}`, 'count=1', 'iflag=direct,fullblock'],
        ...(fromBytes === 0 ? [] : [`skip=${fromBytes / PROBED_BYTES}`]),
        'status=none',
      ],
    };
    try {
      const why = 'read the beginning of the device';
      const end = await this.host.run({ ...program, deadlineMs: SHORT_MS, volume, why });
      return end.code === 0
        ? probeOf(end.stdout)
        : { kind: 'unknown', why: end.stderr.trim().slice(-300) };
    } catch (error) {
      if (!(error instanceof CommandUnknown)) throw error;
      return { kind: 'unknown', why: error.message };
    }
  }

  async mountAt(path: string): Promise<Mount | undefined> {
    return mountAt(await this.host.mounts(), path);
  }

  /** Sizes and counts of a mounted file system; undefined when it does not answer: its device has gone. */
  async usage({ volume }: Work, path: string): Promise<FileSystemUsage | undefined> {
    const program = { program: 'stat', args: ['-f', '-c', '%S %b %a %f %c %d', path] };
    try {
      const end = await this.host.run({
        ...{ ...program, deadlineMs: SHORT_MS, volume },
        why: 'see how full the file system is',
      });
      return end.code === 0 ? usageOf(Buffer.from(end.stdout).toString()) : undefined;
    } catch (error) {
      if (!(error instanceof CommandUnknown)) throw error;
      return undefined;
    }
  }

  /** Whether what is mounted there can still be read: a mount outlives its device. */
  async isAlive({ volume }: Work, path: string): Promise<boolean> {
    const program = { program: 'ls', args: ['-f', path] };
    try {
      const why = 'see whether the mount is alive';
      return (await this.host.run({ ...program, deadlineMs: SHORT_MS, volume, why })).code === 0;
    } catch (error) {
      if (!(error instanceof CommandUnknown)) throw error;
      return false;
    }
  }

  /** Takes away all that is mounted at the path; what is dead is let go of without waiting for it. */
  async unmountAll(work: Work, path: string): Promise<void> {
    for (let mount = await this.mountAt(path); mount !== undefined;) {
      const end = await this.run(work, unmountProgram(path), 'unmount it');
      const left = await this.mountAt(path);
      if (left !== undefined && end.code !== 0) {
        if (await this.isAlive(work, path))
          throw new Refusal(
            'ABORTED',
            `${path} can't be unmounted yet: ${end.stderr.trim().slice(-300)}`,
          );
        await this.do(work, unmountProgram(path, '-l'), 'let go of a dead mount');
      }
      mount = await this.mountAt(path);
    }
  }
}

const unmountProgram = (path: string, ...options: readonly string[]): Program => ({
  program: 'umount',
  args: [...options, path],
});

export interface FileSystemUsage {
  readonly bytes: { readonly total: bigint; readonly available: bigint; readonly used: bigint };
  readonly inodes: { readonly total: bigint; readonly available: bigint; readonly used: bigint };
}

function usageOf(text: string): FileSystemUsage | undefined {
  const numbers = text.trim().split(' ');
  if (numbers.length !== 6 || !numbers.every((one) => /^\d+$/.test(one))) return undefined;
  const [unit = 0n, total = 0n, available = 0n, free = 0n, files = 0n, freeFiles = 0n] =
    numbers.map(BigInt);
  return {
    bytes: { total: total * unit, available: available * unit, used: (total - free) * unit },
    inodes: { total: files, available: freeFiles, used: files - freeFiles },
  };
}
