import { constants } from 'node:fs';
import { open, readdir, readlink, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { delay } from '@lariat/kernel';
import type { DeviceUsersPort } from '../../ports/device-users.port.js';
import { namesIn, textOf } from './kernel-files.js';
import { mountsOn } from './mount-uses.js';

const CLAIM_LOOKS = 10;
const CLAIM_LOOK_MS = 100;

/** Looks at /proc and /sys alone, but for one open of the device itself, which does no I/O. */
export class LinuxDeviceUsers implements DeviceUsersPort {
  async usersOf(device: string): Promise<readonly string[]> {
    const name = basename(device);
    const users = [
      ...mountsOf(name),
      ...namesIn(`/sys/class/block/${name}/holders`).map((holder) => `device ${holder}`),
      ...swapsOn(device),
      ...(await openersOf(device)),
    ];
    if (users.length > 0) return users;
    return (await staysClaimed(device)) ? ['the kernel, which holds it alone'] : [];
  }
}

function mountsOf(name: string): readonly string[] {
  const number = textOf(`/sys/class/block/${name}/dev`).trim();
  return number === '' ? [] : mountsOn(number);
}

function swapsOn(device: string): readonly string[] {
  return textOf('/proc/swaps')
    .split('\n')
    .some((line) => line.split(/\s+/)[0] === device)
    ? ['used as swap']
    : [];
}

/** Processes that have it open; those of other users are seen by root alone, which is what the agent runs as. */
async function openersOf(device: string): Promise<readonly string[]> {
  const number = await numberOf(device);
  if (number === undefined) return [];
  const pids = namesIn('/proc').filter((entry) => /^\d+$/.test(entry));
  const found: string[] = [];
  for (const pid of pids) {
    if (await hasOpen(pid, number))
      found.push(`open in ${textOf(`/proc/${pid}/comm`).trim()} (${pid})`);
  }
  return found;
}

/** A device may be open by any of its nodes. */
async function numberOf(node: string): Promise<number | undefined> {
  try {
    const info = await stat(node);
    return info.isBlockDevice() ? info.rdev : undefined;
  } catch {
    return undefined;
  }
}

async function hasOpen(pid: string, number: number): Promise<boolean> {
  try {
    for (const fd of await readdir(`/proc/${pid}/fd`)) {
      const path = `/proc/${pid}/fd/${fd}`;
      const target = await readlink(path).catch(() => '');
      // Others may be on a file system that does not answer.
      if (target.startsWith('/dev/') && (await numberOf(path)) === number) return true;
    }
  } catch {
    // It has ended.
  }
  return false;
}

/** A mount that has just been ended holds its device for a moment more. */
async function staysClaimed(device: string): Promise<boolean> {
  for (let looks = 0; looks < CLAIM_LOOKS; looks += 1) {
    if (!(await isClaimed(device))) return false;
    await delay(CLAIM_LOOK_MS);
  }
  return true;
}

/** Linux refuses O_EXCL, without O_CREAT, for a block device that somebody in the kernel has claimed. */
async function isClaimed(device: string): Promise<boolean> {
  try {
    const file = await open(device, constants.O_RDONLY | constants.O_EXCL);
    await file.close();
    return false;
  } catch (reason) {
    return (reason as NodeJS.ErrnoException).code === 'EBUSY';
  }
}
