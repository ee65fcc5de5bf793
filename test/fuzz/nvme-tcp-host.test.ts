import { delay, LariatError, withDeadline } from '@lariat/kernel';
import { BlockIoError, NvmeTcpHost, type HostNamespace } from '@lariat/nvme-tcp';
import { SpdkError } from '@lariat/spdk';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectNamespace } from '../contract/support/nvme-host.js';
import { pattern } from '../contract/support/pattern.js';
import type { TargetProcess } from '../contract/support/target-process.js';
import { fuzz } from './support/fuzz.js';
import { hostileConnection } from './support/hostile-target.js';
import { ProcessWatch } from './support/process-watch.js';
import type { Random } from './support/random.js';
import { TcpRelay } from './support/tcp-relay.js';
import { Victim } from './support/victim.js';

const MIB = 1024 * 1024;
const NQN = 'nqn.2026-01.io.lariat:prey';
const HOST = 'nqn.2026-01.io.lariat:deceived';
const BLOCK = 4096;
/** Nothing writes here while the fuzzer runs. */
const CONSTANT_AT = 3 * MIB;
const CONSTANT_BYTES = 256 * 1024;
/** Longer than all that a host may wait for. */
const SETTLED_MS = 10_000;
/** For I/O that will not end by itself. */
const PATIENCE_MS = 500;
const RPC_EVERY = 8;

const DIGESTS = [
  { header: false, data: false },
  { header: true, data: true },
] as const;

/** True for the errors that a caller is told to expect. */
function isFailure(error: unknown): boolean {
  return error instanceof LariatError || error instanceof BlockIoError;
}

/** What `work` gives, or undefined when it failed as it may; it must end, and throw nothing else. */
async function settled<T>(what: string, work: Promise<T>): Promise<T | undefined> {
  try {
    return await withDeadline(what, SETTLED_MS, work);
  } catch (error) {
    const late = error instanceof LariatError && error.code === 'DEADLINE_EXCEEDED';
    if (isFailure(error) && !late) return undefined;
    throw error;
  }
}

describe('the NVMe/TCP host', () => {
  let victim: Victim;
  let backend: TargetProcess;
  let constant: Buffer;

  beforeEach(async () => {
    victim = await Victim.start({ rssLimitBytes: 256 * MIB });
    backend = await victim.lab.startTarget();
    await backend.makeStore();
    const { nvmf } = backend.spdk;
    await nvmf.createSubsystem({ nqn: NQN, allowAnyHost: true, anaReporting: true });
    await nvmf.addNs(NQN, { bdevName: await backend.createLvol('prey', 4) });
    await nvmf.addListener(NQN, { traddr: '127.0.0.1', trsvcid: backend.port });
    const { device, close } = await connectNamespace(backend.port, NQN, HOST);
    constant = pattern(CONSTANT_BYTES);
    await device.write(CONSTANT_AT, constant);
    await close();
  });

  afterEach((context) => victim.lab.close(context));

  const use = async (device: HostNamespace, random: Random, honest: boolean): Promise<void> => {
    const length = random.pick([BLOCK, 4 * BLOCK, CONSTANT_BYTES]);
    const [found] = await Promise.all([
      settled('a read', device.read(CONSTANT_AT, length)),
      settled('a write', device.write(random.below(16) * BLOCK, pattern(BLOCK))),
      settled('a long write', device.write(MIB, pattern(6 * BLOCK))),
      settled('a flush', device.flush()),
      settled('an unmap', device.unmap(2 * MIB, 16 * BLOCK)),
    ]);
    if (honest && found !== undefined && !found.equals(constant.subarray(0, length))) {
      throw new Error('a read gave other bytes than were written');
    }
  };

  /** Our host in this process. */
  const connectAndUse = async (relay: TcpRelay, random: Random, detectable: boolean) => {
    const digests = detectable ? DIGESTS[1] : random.pick(DIGESTS);
    const controller = await settled(
      'a connect',
      NvmeTcpHost.connect({
        ...{ traddr: '127.0.0.1', trsvcid: relay.port, subnqn: NQN, hostnqn: HOST },
        headerDigest: digests.header,
        dataDigest: digests.data,
        ioQueueCount: 2,
        connectTimeoutMs: 1_000,
        keepAliveTimeoutMs: 1_000,
        reconnectDelayMs: 10,
        fastIoFailTimeoutMs: 500,
        ctrlrLossTimeoutMs: random.pick([0, 1_000]),
      }),
    );
    if (controller === undefined) return;
    const [device] = controller.namespaces();
    const used = device === undefined ? undefined : use(device, random, detectable);
    // A target that keeps a completion to itself holds that command until the controller is closed.
    await Promise.race([used, delay(PATIENCE_MS)]);
    await settled('a close', controller.close());
    await used;
  };

  /** The same host in a target process, by its own methods. */
  const attachAndUse = async (relay: TcpRelay, name: string) => {
    const call = async (method: string, params: object): Promise<unknown> => {
      try {
        return await victim.target.rpc.call(method, params, { timeoutMs: SETTLED_MS });
      } catch (error) {
        if (error instanceof SpdkError && error.rpcCode !== undefined) return undefined;
        throw error;
      }
    };
    const bdevs = await call('bdev_nvme_attach_controller', {
      ...{ name, trtype: 'TCP', adrfam: 'ipv4', traddr: '127.0.0.1', trsvcid: relay.port },
      ...{ subnqn: NQN, hostnqn: HOST, fabrics_connect_timeout_us: 1_000_000 },
      ...{ ctrlr_loss_timeout_sec: 1, reconnect_delay_sec: 1, fast_io_fail_timeout_sec: 1 },
    });
    const [bdev] = (bdevs ?? []) as readonly string[];
    const made =
      bdev === undefined
        ? undefined
        : call('bdev_lvol_create_lvstore', { bdev_name: bdev, lvs_name: name, cluster_sz: 65_536 });
    const store = await Promise.race([made, delay(PATIENCE_MS)]);
    const unmade =
      store === undefined ? undefined : call('bdev_lvol_delete_lvstore', { lvs_name: name });
    await Promise.race([unmade, delay(PATIENCE_MS)]);
    await call('bdev_nvme_detach_controller', { name });
    await Promise.all([made, unmade]);
  };

  test('goes on, whatever a target answers', async () => {
    const own = await ProcessWatch.begin(process.pid, 1024 * MIB);
    let attaching = false;
    await fuzz({
      name: 'nvme-tcp-host',
      lanes: 24,
      iterate: async (random, iteration) => {
        const detectable = random.chance(0.3);
        const digests = detectable ? DIGESTS[1] : random.pick(DIGESTS);
        const relay = await TcpRelay.start(backend.port, () =>
          hostileConnection(random, { digests, detectable }),
        );
        if (iteration % RPC_EVERY === 0 && !attaching) {
          // One at a time: the second to attach a namespace gets no bdev of it.
          attaching = true;
          await attachAndUse(relay, `deceived${iteration}`);
          attaching = false;
        } else {
          await connectAndUse(relay, random, detectable);
        }
        await relay.close();
      },
      check: async () => {
        await victim.check();
        await own.checkMemory();
      },
    });
    expect(await victim.target.spdk.nvme.getControllers()).toEqual([]);
    await own.checkDescriptors();
    await victim.checkEnd();
  });
});
