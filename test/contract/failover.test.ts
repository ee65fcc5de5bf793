import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Lab } from './support/lab.js';
import { connectNamespace } from './support/nvme-host.js';
import { TARGET_KINDS } from './support/target-kind.js';
import type { TargetProcess } from './support/target-process.js';
import { waitUntil } from './support/wait-until.js';

const LEG = 'nqn.2026-01.io.lariat:leg';
const VOLUME = 'nqn.2026-01.io.lariat:volume';
const HOST = 'nqn.2026-01.io.lariat:host';
const BLOCK = 4096;

describe.each(TARGET_KINDS)('$name: a controller', (kind) => {
  let lab: Lab;
  let far: TargetProcess;
  let near: TargetProcess;

  beforeEach(async (context) => {
    if (kind.missing !== undefined) return context.skip(kind.missing);
    lab = await Lab.open(kind);
    far = await lab.startTarget();
    near = await lab.startTarget();
    await far.rpc.call('bdev_malloc_create', { name: 'm', block_size: BLOCK, num_blocks: 1024 });
    await far.exportBdev(LEG, 'm', HOST);
    await far.rpc.call('nvmf_subsystem_add_listener', {
      nqn: LEG,
      listen_address: address('127.0.0.2'),
    });
  });

  afterEach(async (context) => {
    if (kind.missing === undefined) await lab.close(context);
  });

  const address = (traddr: string): object => ({
    trtype: 'TCP',
    adrfam: 'IPv4',
    traddr,
    trsvcid: far.port,
  });
  const attach = (traddr: string, multipath: string, times: object = {}): Promise<unknown> =>
    near.rpc.call('bdev_nvme_attach_controller', {
      name: 'leg',
      ...address(traddr),
      subnqn: LEG,
      hostnqn: HOST,
      multipath,
      ...times,
    });
  const stateOfLeg = async (): Promise<unknown> => {
    const [leg] = (await describeLeg()) as readonly { ctrlrs: readonly { state: string }[] }[];
    return leg?.ctrlrs[0]?.state;
  };
  const describeLeg = (): Promise<unknown> =>
    near.rpc.call('bdev_nvme_get_controllers', { name: 'leg' });

  test('with two paths goes on with the other when one is gone', async () => {
    expect(await attach('127.0.0.1', 'failover')).toEqual(['legn1']);
    expect(await attach('127.0.0.2', 'failover')).toEqual([]);
    expect(await describeLeg()).toMatchObject([
      {
        name: 'leg',
        ctrlrs: [
          {
            state: 'enabled',
            trid: { traddr: '127.0.0.1' },
            alternate_trids: [{ traddr: '127.0.0.2' }],
          },
        ],
      },
    ]);
    await near.exportBdev(VOLUME, 'legn1', HOST);
    const { device, close } = await connectNamespace(near.port, VOLUME, HOST);
    lab.onClose(close);
    await device.write(0, Buffer.alloc(BLOCK, 1));
    await far.rpc.call('nvmf_subsystem_remove_listener', {
      nqn: LEG,
      listen_address: address('127.0.0.1'),
    });
    await device.write(BLOCK, Buffer.alloc(BLOCK, 2));
    expect(await device.read(0, 2 * BLOCK)).toEqual(
      Buffer.concat([Buffer.alloc(BLOCK, 1), Buffer.alloc(BLOCK, 2)]),
    );
    await waitUntil('the second path to be the first', 10_000, async () => {
      const [leg] = (await describeLeg()) as readonly { ctrlrs: readonly { trid: object }[] }[];
      return leg?.ctrlrs.some(({ trid }) => 'traddr' in trid && trid.traddr === '127.0.0.2');
    });
  });

  test('is refused a second path where one is wanted, or another use of several', async () => {
    await attach('127.0.0.1', 'disable');
    await expect(attach('127.0.0.2', 'disable')).rejects.toMatchObject({
      errno: 'EALREADY',
      rpcMessage: 'A controller named leg already exists and multipath is disabled',
    });
    await expect(attach('127.0.0.1', 'failover')).rejects.toMatchObject({
      errno: 'EALREADY',
      rpcMessage: 'A controller named leg already exists with the specified network path',
    });
    await expect(attach('127.0.0.2', 'multipath')).rejects.toMatchObject({ errno: 'EINVAL' });
  });

  test('stays, failed, when it is not to reconnect, until it is reset', async () => {
    await attach('127.0.0.1', 'disable', {
      ctrlr_loss_timeout_sec: 0,
      reconnect_delay_sec: 0,
      fast_io_fail_timeout_sec: 0,
    });
    const listener = { nqn: LEG, listen_address: address('127.0.0.1') };
    await far.rpc.call('nvmf_subsystem_remove_listener', listener);
    await waitUntil(
      'the controller to fail',
      20_000,
      async () => (await stateOfLeg()) === 'failed',
    );
    expect(await near.rpc.call('bdev_get_bdevs', { name: 'legn1' })).toMatchObject([
      { name: 'legn1' },
    ]);
    await far.rpc.call('nvmf_subsystem_add_listener', listener);
    await near.rpc.call('bdev_nvme_reset_controller', { name: 'leg' });
    expect(await stateOfLeg()).toBe('enabled');
  });
});
