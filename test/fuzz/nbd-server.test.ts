import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { delay, withDeadline } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fuzz } from './support/fuzz.js';
import { mutateBytes } from './support/mutate-bytes.js';
import { NbdProcess } from './support/nbd-process.js';
import {
  clientFlags,
  exportRequest,
  NbdCommand,
  NbdOption,
  option,
  readByNbd,
  request,
} from './support/nbd-wire.js';
import { ProcessWatch } from './support/process-watch.js';
import type { Random } from './support/random.js';
import { Victim } from './support/victim.js';

const MIB = 1024 * 1024;
const VOLUME = 'prey';
const NQN = 'nqn.2026-01.io.lariat:prey';
const HOST = 'nqn.2026-01.io.lariat:nbd';
const SIZE_MIB = 4;
const ANSWER_MS = 20;
const DEADLINE_MS = 10_000;

const OPTIONS: readonly Buffer[] = [
  option(NbdOption.list),
  option(NbdOption.info, exportRequest(VOLUME, 0, 3)),
  option(NbdOption.info, exportRequest('')),
  option(NbdOption.info, exportRequest('x'.repeat(5000))),
  option(NbdOption.startTls),
  option(8),
  option(10, Buffer.alloc(100)),
  option(NbdOption.list, Buffer.alloc(17_000)),
];
const LAST_OPTIONS: readonly Buffer[] = [
  option(NbdOption.go, exportRequest(VOLUME, 3)),
  option(NbdOption.go, exportRequest('')),
  option(NbdOption.exportName, Buffer.from(VOLUME)),
  option(NbdOption.abort),
];
const REQUESTS: readonly Buffer[] = [
  request({ command: NbdCommand.read, length: 4096 }),
  request({ command: NbdCommand.read, offset: 1000, length: 10_000 }),
  request({ command: NbdCommand.read, length: SIZE_MIB * MIB }),
  request({ command: NbdCommand.read, offset: SIZE_MIB * MIB - 1, length: 2 }),
  request({ command: NbdCommand.write, offset: 4096, data: Buffer.alloc(4096, 1) }),
  request({ command: NbdCommand.write, offset: 77, data: Buffer.alloc(9000, 2), flags: 1 }),
  request({ command: NbdCommand.flush }),
  request({ command: NbdCommand.trim, offset: MIB, length: MIB }),
  request({ command: NbdCommand.writeZeroes, offset: 5, length: 70_000, flags: 2 }),
  request({ command: 5, length: 1 }),
];

/** A session with one to three of its messages changed, or all of it noise. */
function mutatedSession(random: Random): readonly Buffer[] {
  if (random.chance(0.05)) return [random.bytes(random.below(400))];
  const several = (messages: readonly Buffer[], most: number): readonly Buffer[] =>
    Array.from({ length: random.below(most + 1) }, () => random.pick(messages));
  const session = [
    clientFlags(),
    ...several(OPTIONS, 3),
    random.pick(LAST_OPTIONS),
    ...several(REQUESTS, random.pick([2, 10, 300])),
    request({ command: NbdCommand.disconnect }),
  ];
  const changes = 1 + random.below(3);
  for (let change = 0; change < changes; change += 1) {
    const at = random.below(Math.min(session.length, 20));
    const message = session[at] ?? Buffer.alloc(0);
    const mutated = random.chance(0.8)
      ? mutateBytes(message.subarray(0, 64), random)
      : Buffer.alloc(0);
    session[at] = Buffer.concat([mutated, message.subarray(64)]);
  }
  return session;
}

async function play(socketPath: string, random: Random): Promise<void> {
  const socket: Socket = connect({ path: socketPath });
  let answered: () => void = () => undefined;
  const reads = random.chance(0.9);
  if (reads) socket.on('data', () => answered());
  // The server hangs up when it has seen enough.
  socket.on('error', () => socket.destroy());
  let closed = false;
  socket.once('close', () => {
    closed = true;
    answered();
  });
  const paces = random.chance(0.5);
  for (const message of mutatedSession(random)) {
    if (closed) break;
    const answer = new Promise<void>((resolve) => (answered = resolve));
    if (random.chance(0.1)) {
      const at = random.below(message.length + 1);
      socket.write(message.subarray(0, at));
      await delay(0);
      socket.write(message.subarray(at));
    } else {
      socket.write(message);
    }
    if (paces) await Promise.race([answer, delay(ANSWER_MS)]);
  }
  if (random.chance(0.5)) socket.end();
  const gone = new Promise<void>((resolve) => (answered = resolve));
  if (!closed && random.chance(0.7)) await Promise.race([gone, delay(ANSWER_MS)]);
  socket.destroy();
}

describe('the NBD server', () => {
  let victim: Victim;
  let server: NbdProcess;

  beforeEach(async () => {
    victim = await Victim.start({ rssLimitBytes: 512 * MIB });
    const { target } = victim;
    const uuid = await target.createLvol(VOLUME, SIZE_MIB);
    await target.exportBdev(NQN, uuid, HOST);
    server = await NbdProcess.start(dirname(target.diskPath), {
      volume: VOLUME,
      hostNqn: HOST,
      endpoint: { nqn: NQN, traddr: '127.0.0.1', trsvcid: target.port, uuid },
    });
  });

  afterEach(async (context) => {
    await server.stop();
    await victim.lab.close(context);
  });

  test('goes on, whatever clients send', async () => {
    // A client may have 64 MiB of requests under way; there are never more than eight.
    const watch = await ProcessWatch.begin(server.pid, 1024 * MIB);
    await fuzz({
      name: 'nbd-server',
      lanes: 8,
      iterate: (random) => play(server.socketPath, random),
      check: async () => {
        const read = readByNbd(server.socketPath, VOLUME, 8192, 4096);
        expect(await withDeadline('a read by NBD', DEADLINE_MS, read)).toHaveLength(4096);
        await watch.checkMemory();
        await victim.check();
      },
    });
    process.stdout.write(`nbd server: ${await watch.report()}\n`);
    await watch.checkDescriptors();
    expect(await server.log()).not.toMatch(/Warning:|^\s+at /m);
    expect(await server.stop()).toBe(0);
    await victim.checkEnd();
  });
});
