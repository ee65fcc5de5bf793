import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseMounts } from './mount-table.js';
import { mountsOn } from './mount-uses.js';

const missing = process.getuid?.() === 0 ? undefined : 'only root can mount';

describe.skipIf(missing !== undefined)(`who uses a mount (${missing ?? 'root'})`, () => {
  const children: ChildProcess[] = [];
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lariat-mount-uses-'));
  });
  afterEach(async () => {
    for (const child of children.splice(0)) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(folder, { recursive: true });
  });

  /** A shell that has mounted a file system in a namespace of its own, for as long as it runs. */
  async function mountApart(
    then: string,
  ): Promise<{ readonly pid: number; readonly number: string }> {
    const script = `mount -t tmpfs apart "$0" && ${then} && echo made && read -r _`;
    const child = spawn('unshare', ['--mount', 'sh', '-c', script, folder], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(child);
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    expect(said.toString()).toBe('made\n');
    const pid = child.pid ?? 0;
    const mounts = parseMounts(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'));
    const number = mounts.find(({ mountPoint }) => mountPoint === folder)?.device ?? '';
    return { pid, number };
  }

  it('is told by name and pid, in another mount namespace too, when it has a file open', async () => {
    const { pid, number } = await mountApart('exec 3>"$0/file"');
    expect(mountsOn(number)).toEqual([
      `mounted on ${folder} in the mount namespace of sh (${pid}), used by sh (${pid})`,
    ]);
  });

  it('is told when it works in a folder there, and has nothing open', async () => {
    const { pid, number } = await mountApart('cd "$0"');
    expect(mountsOn(number)).toEqual([
      `mounted on ${folder} in the mount namespace of sh (${pid}), used by sh (${pid})`,
    ]);
  });

  it('is nobody for a mount that nobody uses, and there is none of a device that is not mounted', async () => {
    const { pid, number } = await mountApart('true');
    expect(mountsOn(number)).toEqual([
      `mounted on ${folder} in the mount namespace of sh (${pid})`,
    ]);
    expect(mountsOn('0:0')).toEqual([]);
  });
});
