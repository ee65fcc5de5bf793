import { BlockIoError, BlockIoFailure, MemoryBlockDevice } from '@lariat/nvme-tcp';
import { expect, test } from 'vitest';
import type { ConnectedDevice } from '../ports/block-connector.port.js';
import { StallingDevice } from './stalling-device.js';

class Flaky extends MemoryBlockDevice implements ConnectedDevice {
  failure: BlockIoFailure | undefined;
  closed = false;

  override async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    if (this.failure !== undefined) throw new BlockIoError(this.failure, 'injected');
    return super.read(offsetBytes, lengthBytes);
  }
  refresh(): Promise<void> {
    return this.failure === undefined ? Promise.resolve() : new Promise(() => undefined);
  }
  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}

const flaky = (): Flaky => new Flaky({ sizeBytes: 8192, blockSizeBytes: 512 });

test('I/O waits for the engine to come back, with one reconnect for all requests', async () => {
  const devices = [flaky(), flaky()];
  let connects = 0;
  let refusals = 2;
  const device = await StallingDevice.open(
    () => {
      if (connects === 1 && refusals > 0) {
        refusals -= 1;
        return Promise.reject(new Error('still away'));
      }
      const next = devices[connects];
      connects += 1;
      return next === undefined ? Promise.reject(new Error('none left')) : Promise.resolve(next);
    },
    1_000,
    () => undefined,
  );
  const [first] = devices;
  if (first === undefined) throw new Error('no device');
  first.failure = BlockIoFailure.gone;
  const reads = await Promise.all([device.read(0, 512), device.read(512, 512)]);
  expect(reads.map((data) => data.length)).toEqual([512, 512]);
  expect(first.closed).toBe(true);
  expect(connects).toBe(2);
});

test("errors of the medium are the client's to know", async () => {
  const only = flaky();
  const device = await StallingDevice.open(
    () => Promise.resolve(only),
    1_000,
    () => undefined,
  );
  only.failure = BlockIoFailure.media;
  await expect(device.read(0, 512)).rejects.toMatchObject({ failure: 'media' });
});

test('the first connect has a deadline', async () => {
  const never = () => Promise.reject<ConnectedDevice>(new Error('nothing there'));
  await expect(StallingDevice.open(never, 50, () => undefined)).rejects.toThrow('nothing there');
});

test('who looks at the size does not wait for an engine that is away', async () => {
  const only = flaky();
  const device = await StallingDevice.open(
    () => Promise.resolve(only),
    1_000,
    () => undefined,
  );
  await device.refresh();
  only.failure = BlockIoFailure.gone;
  await device.refresh();
  expect(device.sizeBytes).toBe(8192);
});
