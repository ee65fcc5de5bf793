import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OnRequest, LariatClient } from '@lariat/messaging';
import { type TestNats, findNatsBinary, startNats } from '@lariat/testing';
import { Controller, Module } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { definePlugin } from './define-plugin.js';
import { loadPlugin } from './load-plugin.js';
import { runPlugin } from './run-plugin.js';
import { faultsFromEnvironment } from './test-faults.js';

@Controller()
class ImageController {
  @OnRequest('image.list')
  list(): object {
    return { images: ['from the plugin'] };
  }
}

@Module({ controllers: [ImageController] })
class ImageModule {}

const plugin = definePlugin({ name: 'images', version: '1.0.0', module: ImageModule });
const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..'));

describe('a plugin', () => {
  it.each([
    [{ name: 'a b', version: '1.0.0', module: ImageModule }, /may have only/],
    [{ name: 'a', version: 'one', module: ImageModule }, /not semantic/],
  ])('is refused when it is not declared well', (definition, message) => {
    expect(() => definePlugin(definition)).toThrow(message);
  });

  it('is found by path, by folder and by name, with a clear word when it is not', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lariat-plugin-'));
    writeFileSync(
      join(folder, 'package.json'),
      JSON.stringify({ type: 'module', exports: './index.js' }),
    );
    await expect(loadPlugin(folder)).rejects.toThrow(/build the plugin first/);
    writeFileSync(
      join(folder, 'index.js'),
      'export const plugin = { name: "p", version: "1.0.0", module: class {} };',
    );
    await expect(loadPlugin(folder)).resolves.toMatchObject({ name: 'p' });
    await expect(loadPlugin(join(folder, 'index.js'))).resolves.toMatchObject({ name: 'p' });
    writeFileSync(join(folder, 'other.js'), 'export const nothing = 1;');
    await expect(loadPlugin(join(folder, 'other.js'))).rejects.toThrow(/has no plugin/);
    await expect(loadPlugin('./no/such/path')).rejects.toThrow(/There is no plugin at/);
    await expect(loadPlugin('@lariat/no-such-package')).rejects.toThrow(/There is no package/);
    rmSync(folder, { recursive: true });
  });

  it('can be armed with faults only when the environment says so', async () => {
    await expect(faultsFromEnvironment({})).resolves.toEqual({});
    expect((await faultsFromEnvironment({ LARIAT_FAULTS: '1' })).faults).toBeTypeOf('function');
  });
});

describe.skipIf(binary === undefined)('a plugin on a real nats-server', () => {
  let nats: TestNats;
  beforeAll(async () => {
    nats = await startNats(binary ?? '');
  });
  afterAll(async () => {
    await nats.stop();
  });

  it('serves its requests, is discoverable, and stops cleanly', async () => {
    const running = await runPlugin(plugin, { natsUrl: nats.url });
    const second = await runPlugin(definePlugin({ ...plugin, name: 'images-2' }), {
      natsUrl: nats.url,
    });
    const client = new LariatClient({ connection: second.context.connection, actor: 'test' });
    await expect(client.request('image.list', {})).resolves.toEqual({
      images: ['from the plugin'],
    });
    const info = (await second.context.connection.request('$SRV.INFO.images', '')).json<{
      id: string;
    }>();
    expect(info.id).toBe(running.context.instance);
    expect(running.context.instance).not.toBe(second.context.instance);
    await running.close();
    await second.close();
    expect(running.context.connection.isClosed()).toBe(true);
  });

  it('ends also when NATS is gone for good', async () => {
    const own = await startNats(binary ?? '');
    const running = await runPlugin(plugin, { natsUrl: own.url });
    await own.stop();
    await running.close();
    expect(running.context.connection.isClosed()).toBe(true);
  });
});
