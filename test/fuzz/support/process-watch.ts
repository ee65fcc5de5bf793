import { readdir, readFile, readlink } from 'node:fs/promises';
import { waitUntil } from '../../contract/support/wait-until.js';

const LEAK_DEADLINE_MS = 20_000;
const MIB = 1024 * 1024;

/** What a process may use, as Linux tells of it below /proc. */
export class ProcessWatch {
  private constructor(
    private readonly pid: number,
    private readonly rssLimitBytes: number,
    private readonly descriptors: number,
  ) {}

  /** `rssLimitBytes` bounds the most that is ever resident; as many descriptors as now are open when all is over. */
  static async begin(pid: number, rssLimitBytes: number): Promise<ProcessWatch> {
    return new ProcessWatch(pid, rssLimitBytes, await countDescriptors(pid));
  }

  async checkMemory(): Promise<void> {
    const peak = await peakRssBytes(this.pid);
    if (peak > this.rssLimitBytes) {
      throw new Error(
        `process ${this.pid} used ${Math.round(peak / MIB)} MiB, more than ${this.rssLimitBytes / MIB}`,
      );
    }
  }

  async checkDescriptors(): Promise<void> {
    await waitUntil(
      `process ${this.pid} to close what it opened`,
      LEAK_DEADLINE_MS,
      async () => (await countDescriptors(this.pid)) <= this.descriptors,
    ).catch(async (error: unknown) => {
      const open = await describeDescriptors(this.pid);
      throw new Error(
        `${open.length} descriptors are open, ${this.descriptors} were before: ${open.join(', ')}`,
        { cause: error },
      );
    });
  }

  async report(): Promise<string> {
    const peak = Math.round((await peakRssBytes(this.pid)) / MIB);
    return `peak ${peak} MiB, ${await countDescriptors(this.pid)} descriptors of ${this.descriptors}`;
  }
}

async function peakRssBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(status);
  if (match === null) throw new Error(`process ${pid} has ended`);
  return Number(match[1]) * 1024;
}

async function countDescriptors(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}

async function describeDescriptors(pid: number): Promise<readonly string[]> {
  const folder = `/proc/${pid}/fd`;
  return Promise.all(
    (await readdir(folder)).map((name) =>
      // It may be closed by now.
      readlink(`${folder}/${name}`).catch(() => 'closed'),
    ),
  );
}
