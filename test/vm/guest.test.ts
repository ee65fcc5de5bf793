import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CHECKOUT } from '@lariat/cli';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitUntil } from '../contract/support/wait-until.js';
import { reap } from '../left-over/reap.js';
import type { GuestCommands } from './guest/guest-commands.js';
import { Guest } from './guest/guest.js';
import { guestImage } from './guest/guest-image.js';
import { run } from '../debian/programs.js';
import { openSharedGuest, whyNoGuest } from './shared-guest.js';

const missing = whyNoGuest();

describe.skipIf(missing !== undefined)(`a guest (${missing ?? 'everything is here'})`, () => {
  let guest: GuestCommands;
  beforeAll(async () => {
    guest = await openSharedGuest();
  });
  afterAll(() => guest.close());

  it('carries out commands, each told apart by exit code, output and errors', async () => {
    const script = 'read line; echo "out $line"; echo err >&2; exit 42';
    expect(await guest.exec(['/bin/sh', '-c', script], { input: 'in\n' })).toEqual({
      ...{ exitCode: 42, signal: null },
      ...{ stdout: 'out in\n', stderr: 'err\n' },
    });
    await expect(guest.run(['/bin/sh', '-c', script])).rejects.toThrow('exit code 42: err');
    await expect(guest.exec(['/no/such/program'])).rejects.toThrow('No such file');
  });

  it('ends a command that does not end in time, and answers others meanwhile', async () => {
    const sleeping = await guest.start(['/bin/sleep', '1000'], { timeoutMs: 1_000 });
    expect(await guest.run(['/bin/echo', 'here'])).toBe('here\n');
    await expect(sleeping.done).rejects.toThrow('did not end within 1000 ms');
    const stopped = await guest.start(['/bin/sleep', '1000']);
    await stopped.signal('TERM');
    expect(await stopped.done).toMatchObject({ exitCode: null, signal: 15 });
  });

  it('sees the files of the host, and keeps what it writes to itself', async () => {
    const here = join(import.meta.dirname, 'guest.test.ts');
    const written = `${here}.of-the-guest`;
    await guest.write(written, 'x');
    expect(await guest.run(['/bin/ls', here, written])).toBe(`${here}\n${written}\n`);
    expect(existsSync(written)).toBe(false);
    await guest.run(['/bin/rm', written]);
  });

  it('has a kernel with nvme-tcp and device-mapper', async () => {
    await guest.run(['/usr/sbin/modprobe', '-a', 'nvme-tcp', 'dm-mod']);
    expect(await guest.run(['/usr/sbin/dmsetup', 'targets'])).toContain('linear');
    expect(await guest.run(['/bin/ls', '/dev/nvme-fabrics'])).toBe('/dev/nvme-fabrics\n');
  });
});

describe.skipIf(missing !== undefined)(
  `a guest of one's own (${missing ?? 'everything is here'})`,
  () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'lariat-vm-disk-'));
    });
    afterAll(() => rm(folder, { recursive: true }));

    it('forgets its files with a reset, but not what was flushed to its disk, and leaves no process', async () => {
      const disk = join(folder, 'disk');
      const file = await open(disk, 'w');
      await file.truncate(64 * MIB);
      await file.close();
      const guest = await Guest.boot(await anImage(), { disks: [disk], memoryMib: 512 });
      try {
        const { commands } = guest;
        await commands.write('/etc/written', 'x');
        await commands.run(['/bin/dd', 'of=/dev/vdb', 'conv=fsync'], { input: 'kept' });
        const before = await commands.run(['/bin/cat', '/proc/sys/kernel/random/boot_id']);
        await guest.reset();
        const after = guest.commands;
        expect(await after.run(['/bin/cat', '/proc/sys/kernel/random/boot_id'])).not.toBe(before);
        expect(await after.run(['/bin/dd', 'if=/dev/vdb', 'bs=4', 'count=1'])).toBe('kept');
        expect(await after.exec(['/bin/cat', '/etc/written'])).toMatchObject({ exitCode: 1 });
      } finally {
        const { pid } = guest;
        await guest.stop();
        expect(existsSync(`/proc/${pid}`)).toBe(false);
      }
    });

    it('does not outlive the process that booted it', async () => {
      await run(join(CHECKOUT, 'node_modules', '.bin', 'tsc'), ['-b', 'test'], { cwd: CHECKOUT });
      const booting = spawn(process.execPath, [join(CHECKOUT, 'test', 'dist', 'vm', 'by-hand.js')]);
      const left = once(booting, 'exit');
      const lines = createInterface(booting.stderr);
      const [line] = (await once(lines, 'line')) as [string];
      const { pid, folder: its } = JSON.parse(line) as { pid: number; folder: string };
      expect(await readFile(`/proc/${pid}/cmdline`, 'utf8')).toContain(its);
      booting.kill('SIGKILL');
      await left;
      await waitUntil('the guest to end', 10_000, () =>
        Promise.resolve(!existsSync(`/proc/${pid}`)),
      );
      expect(await reap()).toContain(its);
      expect(existsSync(its)).toBe(false);
    });
  },
);

async function anImage(): Promise<Exclude<Awaited<ReturnType<typeof guestImage>>, string>> {
  const image = await guestImage();
  if (typeof image === 'string') throw new Error(image);
  return image;
}
