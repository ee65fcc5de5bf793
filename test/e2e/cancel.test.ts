import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CHECKOUT } from '@lariat/cli';
import { type OperationView, isEnded } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const run = promisify(execFile);
const SIZE_BYTES = 24 * MIB;

describe('an operation that is cancelled', () => {
  let e2e: E2eCluster;
  const content = randomBytes(SIZE_BYTES);
  beforeAll(async () => {
    e2e = await startE2e();
    const { client } = e2e;
    await client.request('volume.create', { name: 'v', sizeBytes: SIZE_BYTES, replicas: 2 });
    await client.request('volume.attach', { volume: 'v', node: 'n1', frontend: 'nbd' });
    const device = await e2e.open('v');
    await device.write(0, content);
    await device.close();
    // A copy that takes 24 s.
    await client.request('rebuild.update', { volume: 'v', mibPerSecond: 1 });
  });
  afterAll(async () => {
    await e2e.stop();
  });

  /** Begins to give the volume a third replica; answers when its content is being copied. */
  async function scaleUp(): Promise<{ readonly parent: string; readonly copying: string }> {
    const { client } = e2e;
    const body = { volume: 'v', replicas: 3, wait: false };
    const { operation } = (await client.requestRaw('volume.update', body, {})) as {
      operation: OperationView;
    };
    const copying = await until('the copy', 20_000, async () => {
      const { operations } = await client.request('operation.list', {});
      return operations.find(({ kind, step }) => kind === 'replica.rebuild' && step === 'copy')?.id;
    });
    return { parent: operation.id, copying };
  }

  const ended = (id: string): Promise<OperationView> =>
    until(`the end of ${id}`, 20_000, async () => {
      const view = await e2e.client.request('operation.get', { operation: id });
      return isEnded(view.state) ? view : undefined;
    });

  const expectAsBefore = async (): Promise<void> => {
    const view = await e2e.client.request('volume.get', { volume: 'v' });
    expect(view).toMatchObject({ replicaCount: 2, robustness: 'healthy', operation: null });
    expect(view.replicas.map(({ mode }) => mode)).toEqual(['RW', 'RW']);
  };

  it('is undone, and so is the one that it has begun', async () => {
    const { client } = e2e;
    const { parent, copying } = await scaleUp();
    const asked = await client.request('operation.cancel', { operation: parent });
    expect(asked).toMatchObject({ id: parent, cancellable: true });
    for (const id of [parent, copying])
      expect(await ended(id)).toMatchObject({
        state: 'failed',
        error: { code: 'OPERATION_CANCELLED' },
      });
    await expectAsBefore();
    // Asked for again it says what came of it; one that has succeeded is not undone.
    expect(await client.request('operation.cancel', { operation: parent })).toMatchObject({
      state: 'failed',
    });
    const { operations } = await client.request('operation.list', {});
    const created = operations.find(({ kind }) => kind === 'volume.create')?.id ?? '';
    await expect(client.request('operation.cancel', { operation: created })).rejects.toMatchObject({
      code: 'OPERATION_NOT_CANCELLABLE',
    });
  });

  it('is waited for on the command line', async () => {
    const { parent } = await scaleUp();
    const words = ['operation', 'cancel', parent, '--nats', e2e.cluster.natsUrl];
    const { stdout } = await run(join(CHECKOUT, 'lariat'), words);
    expect(stdout).toMatch(/^state: +failed$/m);
    expect(stdout).toContain('OPERATION_CANCELLED');
    await expectAsBefore();
  });

  it('leaves nothing behind', async () => {
    const { client } = e2e;
    const device = await e2e.open('v');
    expect((await device.read(0, SIZE_BYTES)).equals(content)).toBe(true);
    await device.close();
    await client.request('volume.detach', { volume: 'v' });
    expect(await client.request('replica.checksum', { volume: 'v' })).toMatchObject({
      identical: true,
    });
    await client.request('volume.delete', { volume: 'v' });
    expect(await e2e.leftovers()).toEqual([]);
  });
});
