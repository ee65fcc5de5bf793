import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import type { BlockDevice } from './block-device.js';
import type { NvmeTcpController } from './host/controller.js';
import { MemoryBlockDevice } from './memory-block-device.js';
import { PduType } from './pdu/constants.js';
import {
  Cleanup,
  connectHost,
  eventually,
  GatedDevice,
  nextEvent,
  onlyNamespace,
  Relay,
  type Rig,
  startTarget,
  SUBSYSTEM_NQN,
} from './test-support.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

async function throughRelay(
  device: BlockDevice,
  options: Parameters<typeof connectHost>[2] = {},
): Promise<{ readonly relay: Relay; readonly controller: NvmeTcpController; readonly rig: Rig }> {
  const rig = await startTarget(cleanup, { device });
  const relay = new Relay(() => rig.address);
  const controller = await connectHost(cleanup, await relay.start(cleanup), options);
  return { relay, controller, rig };
}

const gone = expect.objectContaining({ name: 'BlockIoError', failure: 'gone' });

describe('a broken connection', () => {
  it('has what was in flight sent again', async () => {
    const device = new GatedDevice({ sizeBytes: 1 << 20 });
    const { relay, controller } = await throughRelay(device);
    const namespace = onlyNamespace(controller);
    device.hold();
    const data = randomBytes(64 * 1024);
    const writes = [namespace.write(0, data.subarray(0, 4096)), namespace.write(65_536, data)];
    await eventually('the writes at the device', () => device.begun === 2);
    const reconnecting = nextEvent((listener) => controller.on('reconnecting', listener));
    const connected = nextEvent((listener) => controller.on('connected', listener));
    relay.cut();
    await reconnecting;
    expect(controller.state).toBe('reconnecting');
    device.release();
    await connected;
    await Promise.all(writes);
    expect(device.ended).toBe(4);
    expect((await device.read(65_536, data.length)).equals(data)).toBe(true);
    expect(onlyNamespace(controller)).toBe(namespace);
  });

  it('lets no write of the lost connection land after one of the new connection', async () => {
    const device = new GatedDevice({ sizeBytes: 1 << 20 });
    const { relay, controller, rig } = await throughRelay(device);
    device.hold();
    const write = onlyNamespace(controller).write(0, Buffer.alloc(512, 1));
    await eventually('the write at the device', () => device.begun === 1);
    let connectSent = false;
    relay.toTarget = (chunk) => {
      connectSent ||= chunk[0] === PduType.capsuleCmd && chunk.length > 1024;
      return chunk;
    };
    relay.cut();
    await eventually('the new Connect', () => connectSent);
    // Another host's whole connect takes longer than the answer to that Connect would have.
    await connectHost(cleanup, rig.address, { hostnqn: 'nqn.2024-01.io.lariat:other' });
    expect(controller.state).toBe('reconnecting');
    expect(device.ended).toBe(0);
    device.release();
    await write;
    await onlyNamespace(controller).write(0, Buffer.alloc(512, 2));
    expect(device.ended).toBe(device.begun);
    expect((await device.read(0, 512))[0]).toBe(2);
  }, 20_000);

  it('holds new I/O until the connection is back', async () => {
    const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
    const { relay, controller } = await throughRelay(device);
    relay.refusing = true;
    relay.cut();
    await eventually('the loss', () => controller.state === 'reconnecting');
    const writes = Array.from({ length: 300 }, (_, index) =>
      onlyNamespace(controller).write(index * 512, Buffer.alloc(512, index + 1)),
    );
    relay.refusing = false;
    await Promise.all(writes);
    expect((await device.read(299 * 512, 512))[0]).toBe(300 & 0xff);
  });

  it('survives cuts under load with every write in place', async () => {
    const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
    const { relay, controller } = await throughRelay(device, {
      ioQueueCount: 2,
      reconnectDelayMs: 5,
    });
    const namespace = onlyNamespace(controller);
    const model = Buffer.alloc(device.sizeBytes);
    let cuts = 0;
    controller.on('reconnecting', () => {
      cuts += 1;
    });
    const worker = async (lane: number): Promise<void> => {
      for (let round = 0; round < 60; round += 1) {
        const offset = lane * 65_536 + (round % 4) * 16_384;
        const data = randomBytes(16_384);
        await namespace.write(offset, data);
        data.copy(model, offset);
        if (lane === 0 && round % 15 === 7) relay.cut();
        expect((await namespace.read(offset, 16_384)).equals(data)).toBe(true);
      }
    };
    await Promise.all(Array.from({ length: 16 }, (_, lane) => worker(lane)));
    expect(cuts).toBeGreaterThanOrEqual(4);
    expect((await device.read(0, device.sizeBytes)).equals(model)).toBe(true);
  }, 20_000);

  it('is mended when the target restarts on the same port, with its namespaces as they are then', async () => {
    const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
    const first = await startTarget(cleanup, { device });
    const controller = await connectHost(cleanup, first.address);
    const namespace = onlyNamespace(controller);
    const reconnecting = nextEvent((listener) => controller.on('reconnecting', listener));
    await first.target.close();
    await reconnecting;
    const write = namespace.write(0, Buffer.alloc(512, 9));
    device.resize(2 << 20);
    const changed = nextEvent((listener) => controller.on('namespacesChanged', listener));
    await startTarget(cleanup, { device, trsvcid: first.address.trsvcid });
    await write;
    expect(await changed).toEqual({ added: [], removed: [], resized: [1] });
    expect(namespace.sizeBytes).toBe(2 << 20);
    expect((await device.read(0, 512))[0]).toBe(9);
  });

  it('is noticed by the keep alive when the other side falls silent', async () => {
    const { relay, controller } = await throughRelay(
      new MemoryBlockDevice({ sizeBytes: 1 << 20 }),
      {
        keepAliveTimeoutMs: 200,
        connectTimeoutMs: 300,
      },
    );
    const reconnecting = nextEvent<{ readonly reason: Error }>((listener) =>
      controller.on('reconnecting', listener),
    );
    relay.toHost = () => Buffer.alloc(0);
    const { reason } = await reconnecting;
    expect(reason.message).toMatch(/keep alive/);
    relay.toHost = (chunk) => chunk;
    await eventually('the reconnect', () => controller.state === 'connected');
    expect(await onlyNamespace(controller).read(0, 512)).toHaveLength(512);
  });
});

describe('timeouts', () => {
  it('fail I/O after fastIoFailTimeoutMs, and let it through again after the reconnect', async () => {
    const device = new GatedDevice({ sizeBytes: 1 << 20 });
    const { relay, controller } = await throughRelay(device, { fastIoFailTimeoutMs: 100 });
    const namespace = onlyNamespace(controller);
    device.hold();
    const inFlight = namespace.write(0, Buffer.alloc(512, 1));
    await eventually('the write at the device', () => device.begun === 1);
    relay.refusing = true;
    relay.cut();
    await expect(inFlight).rejects.toEqual(gone);
    const atMs = performance.now();
    await expect(namespace.read(0, 512)).rejects.toEqual(gone);
    expect(performance.now() - atMs).toBeLessThan(50);
    expect(controller.state).toBe('reconnecting');
    device.release();
    relay.refusing = false;
    await eventually('the reconnect', () => controller.state === 'connected');
    expect(await namespace.read(0, 512)).toHaveLength(512);
  });

  it('give the controller up after ctrlrLossTimeoutMs', async () => {
    const { relay, controller } = await throughRelay(
      new MemoryBlockDevice({ sizeBytes: 1 << 20 }),
      {
        ctrlrLossTimeoutMs: 150,
      },
    );
    const lost = nextEvent((listener) => controller.on('lost', listener));
    relay.refusing = true;
    relay.cut();
    await eventually('the loss', () => controller.state === 'reconnecting');
    const held = onlyNamespace(controller).read(0, 512);
    await expect(held).rejects.toEqual(gone);
    await lost;
    expect(controller.state).toBe('lost');
    relay.refusing = false;
    await expect(onlyNamespace(controller).read(0, 512)).rejects.toEqual(gone);
    expect(relay.connections).toBe(0);
  });

  it('give it up at once when ctrlrLossTimeoutMs is 0', async () => {
    const device = new GatedDevice({ sizeBytes: 1 << 20 });
    const { relay, controller } = await throughRelay(device, { ctrlrLossTimeoutMs: 0 });
    device.hold();
    const write = onlyNamespace(controller).write(0, Buffer.alloc(512));
    await eventually('the write at the device', () => device.begun === 1);
    relay.cut();
    await expect(write).rejects.toEqual(gone);
    expect(controller.state).toBe('lost');
    device.release();
  });
});

describe('close', () => {
  it('ends in-flight I/O before it resolves, and sends nothing after', async () => {
    const device = new GatedDevice({ sizeBytes: 1 << 20 });
    const { relay, controller, rig } = await throughRelay(device, { queueDepth: 2 });
    const namespace = onlyNamespace(controller);
    device.hold();
    const inFlight = namespace.write(0, Buffer.alloc(512, 1));
    const waiting = namespace.write(512, Buffer.alloc(512, 1));
    const outcomes = Promise.allSettled([inFlight, waiting]);
    await eventually('the write at the device', () => device.begun === 1);
    const closed = controller.close();
    device.release();
    await closed;
    expect(device.ended).toBe(1);
    expect(await outcomes).toEqual([
      { status: 'rejected', reason: expect.objectContaining({ failure: 'aborted' }) },
      { status: 'rejected', reason: gone },
    ]);
    let sent = 0;
    relay.toTarget = (chunk) => {
      sent += chunk.length;
      return chunk;
    };
    await expect(namespace.write(0, Buffer.alloc(512))).rejects.toEqual(gone);
    await eventually('the end of the connections', () => relay.connections === 0);
    expect(sent).toBe(0);
    expect(rig.subsystem.controllers()).toEqual([]);
    await controller.close();
  });

  it('ends a reconnect that is under way', async () => {
    const { relay, controller } = await throughRelay(new MemoryBlockDevice({ sizeBytes: 1 << 20 }));
    relay.toHost = () => Buffer.alloc(0);
    relay.cut();
    await eventually(
      'an attempt',
      () => controller.state === 'reconnecting' && relay.connections > 0,
    );
    const held = onlyNamespace(controller).read(0, 512);
    const outcome = Promise.allSettled([held]);
    await controller.close();
    expect(await outcome).toEqual([{ status: 'rejected', reason: gone }]);
    await eventually('the end of the attempt', () => relay.connections === 0);
  });
});

describe('the first connect', () => {
  const options = { traddr: '127.0.0.1', subnqn: SUBSYSTEM_NQN } as const;

  it('says that nothing listens', async () => {
    const { target, address } = await startTarget(cleanup);
    await target.close();
    await expect(connectHost(cleanup, address)).rejects.toEqual(
      expect.objectContaining({ code: 'NVME_CONNECT_REFUSED', kind: 'unavailable' }),
    );
  });

  it('says that the subsystem is unknown', async () => {
    const { address } = await startTarget(cleanup);
    await expect(
      connectHost(cleanup, address, { subnqn: 'nqn.2024-01.io.lariat:other' }),
    ).rejects.toEqual(
      expect.objectContaining({ code: 'NVME_SUBSYSTEM_UNKNOWN', kind: 'not_found' }),
    );
  });

  it('says that the host is not allowed', async () => {
    const { address } = await startTarget(cleanup, { subsystem: { allowAnyHost: false } });
    await expect(connectHost(cleanup, address)).rejects.toEqual(
      expect.objectContaining({ code: 'NVME_HOST_NOT_ALLOWED', kind: 'precondition' }),
    );
  });

  it('gives up after connectTimeoutMs', async () => {
    const { address } = await startTarget(cleanup);
    const relay = new Relay(() => address);
    relay.toHost = () => Buffer.alloc(0);
    await expect(
      connectHost(cleanup, await relay.start(cleanup), { connectTimeoutMs: 100 }),
    ).rejects.toEqual(expect.objectContaining({ code: 'NVME_CONNECT_TIMEOUT', kind: 'timeout' }));
    await eventually('the end of the connection', () => relay.connections === 0);
  });

  it.each([
    [{ trsvcid: 'x' }, /trsvcid/],
    [{ trsvcid: '1', hostnqn: 'me' }, /hostnqn/],
    [{ trsvcid: '1', hostid: 'abc' }, /hostid/],
    [{ trsvcid: '1', queueDepth: 1 }, /queueDepth/],
  ])('refuses bad options (%o)', async (bad, message) => {
    await expect(connectHost(cleanup, { ...options, trsvcid: '1' }, bad)).rejects.toThrow(message);
  });
});
