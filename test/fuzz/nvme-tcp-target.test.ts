import { afterEach, describe, expect, test } from 'vitest';
import { waitUntil } from '../contract/support/wait-until.js';
import { fuzz } from './support/fuzz.js';
import { playMutated, readNothing } from './support/hostile-host.js';
import { PduType } from './support/pdus.js';
import { recordSession } from './support/recorded-session.js';
import { Victim } from './support/victim.js';

const MIB = 1024 * 1024;
const NQN = 'nqn.2026-01.io.lariat:prey';

const DIGESTS = [
  { header: false, data: false },
  { header: true, data: false },
  { header: true, data: true },
] as const;

describe('the NVMe/TCP target', () => {
  let victim: Victim;

  const start = async (rssLimitBytes: number): Promise<void> => {
    victim = await Victim.start({
      rssLimitBytes,
      prepare: async (target) => {
        const { nvmf } = target.spdk;
        await nvmf.createSubsystem({ nqn: NQN, allowAnyHost: true, anaReporting: true });
        for (const name of ['prey', 'second']) {
          await nvmf.addNs(NQN, { bdevName: await target.createLvol(name, 4) });
        }
        await nvmf.addListener(NQN, { traddr: '127.0.0.1', trsvcid: target.port });
      },
    });
  };

  afterEach((context) => victim.lab.close(context));

  const hostsGone = (): Promise<boolean> =>
    waitUntil('the target to drop all hosts', 10_000, async () => {
      return (await victim.target.spdk.nvmf.getControllers(NQN)).length === 0;
    });

  test('goes on, whatever hosts send', async () => {
    await start(256 * MIB);
    const { target } = victim;
    const sessions = await Promise.all(
      DIGESTS.map((digests) => recordSession(target.port, NQN, digests)),
    );
    expect(sessions.every(({ io }) => io.some((pdu) => pdu[0] === PduType.h2cData))).toBe(true);
    await fuzz({
      name: 'nvme-tcp-target',
      lanes: 12,
      iterate: (random) => playMutated(target.port, random.pick(sessions), random),
      check: () => victim.check(),
    });
    await hostsGone();
    // The sessions were followed far enough to reach the data.
    const stat = (await target.rpc.call('bdev_get_iostat', {
      names: [`${target.storeName}/prey`],
    })) as { readonly bdevs: readonly { readonly num_write_ops: number }[] };
    expect(stat.bdevs[0]?.num_write_ops).toBeGreaterThan(100);
    await victim.checkEnd();
  });

  test('holds a few MiB for a host that reads none of its answers', async () => {
    // 16 MiB of answers, and a queue of commands under way, for each of the four.
    await start(256 * MIB);
    const { target } = victim;
    const session = await recordSession(target.port, NQN, DIGESTS[0]);
    const hosts = await Promise.all(
      Array.from({ length: 4 }, () => readNothing(target.port, session, 4000)),
    );
    await victim.check();
    for (const host of hosts) host.close();
    expect(await hostsGone()).toBe(true);
    await victim.checkEnd();
  });
});
