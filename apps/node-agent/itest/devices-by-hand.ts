import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ReconcileCounts, systemClock, toLariatError } from '@lariat/kernel';
import { readBootId } from '../src/adapters/host/boot-id.js';
import { LinuxDeviceMapper } from '../src/adapters/host/linux-device-mapper.js';
import { LinuxDeviceNodes } from '../src/adapters/host/linux-device-nodes.js';
import { LinuxDeviceUsers } from '../src/adapters/host/linux-device-users.js';
import { LinuxKernelNvme } from '../src/adapters/host/linux-kernel-nvme.js';
import { LmdbJournal } from '../src/adapters/lmdb/lmdb-journal.js';
import { HostPrograms } from '../src/adapters/process/host-programs.js';
import { DeviceGate } from '../src/app/device-gate.js';
import { DeviceLives } from '../src/app/device-lives.js';
import { DmDriver } from '../src/app/dm-driver.js';
import type { OwnedFrontend } from '../src/domain/ownership.js';
import type { LogPort } from '../src/ports/log.port.js';

/**
 * The part of the agent that makes devices of the kernel, a process a command: `devices-by-hand FOLDER attach JSON`,
 * `repair VOLUME`, `users VOLUME`, `release VOLUME unused|forced`, `close VOLUME GATE MILLISECONDS`, `cut-off VOLUME`,
 * `open VOLUME GATE`. Each is as if the agent had just been started, and is killed afterwards. Prints one line of JSON.
 */
const [folder = '', verb = '', subject = '', how = '', forMs = ''] = process.argv.slice(2);

const tell =
  (level: string) =>
  (message: string, fields: object = {}): void => {
    process.stderr.write(`${JSON.stringify({ level, message, ...fields })}\n`);
  };
const LOSS_SECONDS = 1_800;
const log: LogPort = { info: tell('info'), warn: tell('warn'), error: tell('error') };
const journal = new LmdbJournal(join(folder, 'journal'));
const programs = new HostPrograms(log);
const clock = systemClock;
const nvme = new LinuxKernelNvme(programs, LOSS_SECONDS);
const mapper = new LinuxDeviceMapper(programs);
const dm = new DmDriver({
  ...{ journal, clock, nvme, mapper, nodes: new LinuxDeviceNodes() },
  ...{ bootId: readBootId(), deviceDir: '/dev/lariat' },
  discards: () => !existsSync(join(folder, 'no-discards')),
});
const devices = new DeviceLives({
  ...{ journal, clock, log, counts: new ReconcileCounts(), users: new LinuxDeviceUsers() },
  drivers: { dm, loop: undefined as never },
});

const gate = new DeviceGate({ journal, nvme, mapper, devices, clock, log });

async function carryOut(): Promise<unknown> {
  switch (verb) {
    case 'attach': {
      const frontend = JSON.parse(subject) as OwnedFrontend;
      await journal.putOwned(frontend);
      return { node: await devices.ensure(frontend.name) };
    }
    case 'repair':
      await devices.repair(subject);
      return { unsettled: devices.unsettled() };
    case 'users':
      return { users: await devices.usersOf(subject) };
    case 'release':
      if (how !== 'unused' && how !== 'forced') throw new Error(`release ${how}?`);
      await devices.release(subject, how);
      await journal.dropOwned('frontend', subject);
      return { left: journal.ownedOfKind('dm').map(({ name }) => name) };
    case 'close':
      await gate.close(subject, how, clock.nowMs() + Number(forMs), 'op');
      return { closed: gate.isClosed(subject, how) };
    case 'cut-off':
      await gate.cutOff(subject, 'op');
      return {};
    case 'open':
      return { held: await gate.open(subject, how, 'op') };
    default:
      throw new Error(`no such command: ${verb}`);
  }
}

const answer = await carryOut().catch((reason: unknown) => {
  const { code, message } = toLariatError(reason);
  return { code, message };
});
process.stdout.write(`${JSON.stringify(answer)}\n`);
process.kill(process.pid, 'SIGKILL');
