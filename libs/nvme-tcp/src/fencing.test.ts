import { afterEach, describe, expect, it } from 'vitest';
import { MemoryBlockDevice } from './memory-block-device.js';
import { AnaState } from './nvme/log-page.js';
import { PduType } from './pdu/constants.js';
import {
  Cleanup,
  connectHost,
  eventually,
  GatedDevice,
  HOST_NQN,
  nextEvent,
  onlyNamespace,
  Relay,
  startTarget,
  SUBSYSTEM_NQN,
} from './test-support.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

describe('fencing', () => {
  it('removeHost resolves only when no command of the host runs, and disconnects it', async () => {
    const device = new GatedDevice({ sizeBytes: 1 << 20 });
    const { subsystem, address } = await startTarget(cleanup, {
      device,
      subsystem: { allowAnyHost: false },
    });
    subsystem.addHost(HOST_NQN);
    subsystem.addHost('nqn.2024-01.io.lariat:other');
    const fenced = await connectHost(cleanup, address, { fastIoFailTimeoutMs: 200 });
    const other = await connectHost(cleanup, address, { hostnqn: 'nqn.2024-01.io.lariat:other' });
    device.hold();
    const writes = Array.from({ length: 10 }, (_, index) =>
      onlyNamespace(fenced).write(index * 512, Buffer.alloc(512, 1)),
    );
    const outcomes = Promise.allSettled(writes);
    await eventually('the writes at the device', () => device.begun === 10);
    let removed = false;
    const removing = subsystem.removeHost(HOST_NQN).then(() => {
      removed = true;
    });
    await eventually('the disconnect', () => fenced.state === 'reconnecting');
    expect(removed).toBe(false);
    device.release();
    await removing;
    expect(device.ended).toBe(10);
    expect((await outcomes).every(({ status }) => status === 'rejected')).toBe(true);
    await expect(onlyNamespace(fenced).write(0, Buffer.alloc(512))).rejects.toEqual(
      expect.objectContaining({ failure: 'gone' }),
    );
    expect(device.begun).toBe(10);
    expect(subsystem.controllers().map(({ hostNqn }) => hostNqn)).toEqual([
      'nqn.2024-01.io.lariat:other',
    ]);
    await onlyNamespace(other).write(0, Buffer.alloc(512));
    expect(device.begun).toBe(11);
    subsystem.addHost(HOST_NQN);
    await eventually('the readmission', () => fenced.state === 'connected');
  });

  it('drops a write whose data is still on its way', async () => {
    const device = new GatedDevice({ sizeBytes: 8 << 20 });
    const { subsystem, address } = await startTarget(cleanup, {
      device,
      subsystem: { allowAnyHost: false },
    });
    subsystem.addHost(HOST_NQN);
    const relay = new Relay(() => address);
    const host = await connectHost(cleanup, await relay.start(cleanup), { ctrlrLossTimeoutMs: 0 });
    let passed = 0;
    relay.toTarget = (chunk) => {
      passed += chunk.length;
      return passed < 300_000 ? chunk : Buffer.alloc(0);
    };
    device.hold();
    const outcome = Promise.allSettled([onlyNamespace(host).write(0, Buffer.alloc(1 << 20, 1))]);
    await eventually('part of the write', () => device.begun > 0 && passed >= 300_000);
    expect(device.begun).toBeLessThan(8);
    const removed = subsystem.removeHost(HOST_NQN);
    const { begun } = device;
    device.release();
    await removed;
    expect(await outcome).toEqual([
      { status: 'rejected', reason: expect.objectContaining({ failure: 'gone' }) },
    ]);
    expect([device.begun, device.ended]).toEqual([begun, begun]);
  });

  it('setAllowAnyHost(false) disconnects hosts that are not on the list', async () => {
    const { subsystem, address } = await startTarget(cleanup);
    const host = await connectHost(cleanup, address);
    await subsystem.setAllowAnyHost(false);
    expect(subsystem.controllers()).toEqual([]);
    await eventually('the disconnect', () => host.state === 'reconnecting');
  });

  it('removeNamespace waits for its commands, and removeSubsystem disconnects', async () => {
    const device = new GatedDevice({ sizeBytes: 1 << 20 });
    const { target, subsystem, address } = await startTarget(cleanup, { device });
    const host = await connectHost(cleanup, address, { ctrlrLossTimeoutMs: 0 });
    const namespace = onlyNamespace(host);
    device.hold();
    const write = namespace.write(0, Buffer.alloc(512));
    await eventually('the write at the device', () => device.begun === 1);
    let removed = false;
    const removing = subsystem.removeNamespace(1).then(() => {
      removed = true;
    });
    await eventually('the event', () => host.namespaces().length === 0);
    expect(removed).toBe(false);
    device.release();
    await removing;
    await write;
    await expect(namespace.read(0, 512)).rejects.toEqual(
      expect.objectContaining({ failure: 'gone' }),
    );
    const lost = nextEvent((listener) => host.on('lost', listener));
    await target.removeSubsystem(SUBSYSTEM_NQN);
    await lost;
  });
});

describe('events', () => {
  it('tell hosts of namespaces that come, go and grow', async () => {
    const { subsystem, address } = await startTarget(cleanup, {
      device: new MemoryBlockDevice({ sizeBytes: 1 << 20 }),
    });
    const host = await connectHost(cleanup, address);
    const next = (): Promise<object> =>
      nextEvent((listener) => host.on('namespacesChanged', listener));
    const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
    let change = next();
    expect(subsystem.addNamespace({ device, nguid: 'ab'.repeat(16) })).toBe(2);
    expect(await change).toEqual({ added: [2], removed: [], resized: [] });
    const added = host.namespaces()[1];
    expect([added?.nsid, added?.uuid, added?.nguid]).toEqual([2, device.uuid, 'ab'.repeat(16)]);
    change = next();
    device.resize(2 << 20);
    subsystem.namespaceResized(2);
    expect(await change).toEqual({ added: [], removed: [], resized: [2] });
    expect(added?.sizeBytes).toBe(2 << 20);
    await added?.write((2 << 20) - 512, Buffer.alloc(512, 5));
    change = next();
    await subsystem.removeNamespace(2);
    expect(await change).toEqual({ added: [], removed: [2], resized: [] });
    expect(added?.isRemoved).toBe(true);
    change = next();
    subsystem.addNamespace({ device: new MemoryBlockDevice({ sizeBytes: 1 << 20 }), nsid: 2 });
    expect(await change).toEqual({ added: [2], removed: [], resized: [] });
    expect(host.namespaces()[1]).not.toBe(added);
  });

  it('have I/O to an inaccessible namespace wait until it is accessible', async () => {
    const { subsystem, address } = await startTarget(cleanup, {
      subsystem: { anaReporting: true },
    });
    const relay = new Relay(() => address);
    const host = await connectHost(cleanup, await relay.start(cleanup));
    const namespace = onlyNamespace(host);
    subsystem.setAnaState(address, AnaState.inaccessible);
    await eventually('the state', () => namespace.anaState === AnaState.inaccessible);
    let refusals = 0;
    relay.toHost = (chunk) => {
      if (chunk[0] === PduType.capsuleResp) refusals += 1;
      return chunk;
    };
    let written = false;
    const write = namespace.write(0, Buffer.alloc(512, 7)).then(() => {
      written = true;
    });
    await eventually('two refusals', () => refusals >= 2);
    expect(written).toBe(false);
    subsystem.setAnaState(address, AnaState.nonOptimized, 1);
    await write;
    expect(subsystem.listenerInfo()).toEqual([
      { address, anaGroups: [{ id: 1, state: AnaState.nonOptimized, nsids: [1] }] },
    ]);
    await eventually('the state', () => namespace.anaState === AnaState.nonOptimized);
  });

  it('fail such I/O after fastIoFailTimeoutMs, and at once after a persistent loss', async () => {
    const { subsystem, address } = await startTarget(cleanup, {
      subsystem: { anaReporting: true },
    });
    const host = await connectHost(cleanup, address, { fastIoFailTimeoutMs: 150 });
    const gone = expect.objectContaining({ failure: 'gone' });
    subsystem.setAnaState(address, AnaState.inaccessible);
    const beganMs = performance.now();
    await expect(onlyNamespace(host).read(0, 512)).rejects.toEqual(gone);
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(140);
    subsystem.setAnaState(address, AnaState.persistentLoss);
    await expect(onlyNamespace(host).read(0, 512)).rejects.toEqual(gone);
    expect(host.state).toBe('connected');
  });
});
