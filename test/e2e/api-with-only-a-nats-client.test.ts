import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import type { VolumeView } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { readTrace } from '@lariat/messaging';
import { headers } from '@nats-io/nats-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const run = promisify(execFile);
const has = (program: string): boolean => {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
};

describe('a cluster used with only a NATS client', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e();
  });
  afterAll(async () => {
    await e2e.stop();
  });

  /** What `nats req` does: a subject, a JSON body, an answer. */
  async function ask(
    name: string,
    body: object,
    head: Readonly<Record<string, string>> = {},
  ): Promise<{ data?: unknown; error?: { code: string; message: string; traceId: string } }> {
    const sent = headers();
    for (const [key, value] of Object.entries(head)) sent.set(key, value);
    const reply = await e2e.connection.request(`lariat.v1.${name}`, JSON.stringify(body), {
      timeout: 20_000,
      headers: sent,
    });
    return reply.json();
  }

  it('lists its services', async () => {
    const names = new Set<string>();
    for await (const reply of await e2e.connection.requestMany('$SRV.INFO', '', {
      maxWait: 1_000,
    })) {
      names.add(reply.json<{ name: string }>().name);
    }
    expect([...names]).toEqual(
      expect.arrayContaining(['volume-svc', 'replica-svc', 'backing-image-svc']),
    );
  });

  it('takes a volume through its life, and its data with it', async () => {
    const created = (await ask('volume.create', { name: 'life', sizeBytes: 32 * MIB, replicas: 3 }))
      .data as VolumeView;
    expect(created).toMatchObject({
      name: 'life',
      sizeBytes: 32 * MIB,
      state: 'detached',
      robustness: 'healthy',
      attachment: null,
    });
    expect(new Set(created.replicas.map(({ node }) => node)).size).toBe(3);
    const attached = (await ask('volume.attach', { volume: 'life', node: 'n1', frontend: 'nbd' }))
      .data as VolumeView;
    expect(attached).toMatchObject({
      state: 'attached',
      attachment: { node: 'n1', frontend: 'nbd', epoch: 1 },
    });
    expect(attached.attachment?.endpoint).toMatch(/^nbd\+unix:\/\/\/\?socket=/);
    const device = await e2e.open('life');
    await device.write(5 * MIB, Buffer.alloc(64 * 1024, 7));
    await device.flush();
    await device.close();
    expect((await ask('volume.get', { volume: created.id })).data).toMatchObject({
      id: created.id,
      state: 'attached',
    });
    expect((await ask('volume.detach', { volume: 'life' })).data).toMatchObject({
      state: 'detached',
      attachment: null,
    });
    // On another node the same bytes.
    await ask('volume.attach', { volume: 'life', node: 'n3', frontend: 'nbd' });
    const again = await e2e.open('life');
    const read = await again.read(5 * MIB - 4096, 64 * 1024 + 8192);
    await again.close();
    expect(
      read.equals(
        Buffer.concat([Buffer.alloc(4096), Buffer.alloc(64 * 1024, 7), Buffer.alloc(4096)]),
      ),
    ).toBe(true);
    await ask('volume.detach', { volume: 'life' });
    expect((await ask('volume.delete', { volume: 'life' })).data).toMatchObject({ id: created.id });
    expect((await ask('volume.get', { volume: 'life' })).error).toMatchObject({
      code: 'VOLUME_NOT_FOUND',
    });
    expect(await e2e.leftovers()).toEqual([]);
  });

  it('answers the same for the same idempotency key, also when the thing is gone', async () => {
    const key = { 'Lariat-Request-Id': 'once-only' };
    const [first, second] = await Promise.all([
      ask('volume.create', { name: 'once', sizeBytes: MIB }, key),
      ask('volume.create', { name: 'once', sizeBytes: MIB }, key),
    ]);
    expect(second).toEqual(first);
    const gone = { 'Lariat-Request-Id': 'gone-once' };
    const deleted = await ask('volume.delete', { volume: 'once' }, gone);
    expect(await ask('volume.delete', { volume: 'once' }, gone)).toEqual(deleted);
    expect(deleted.error).toBeUndefined();
  });

  it('answers at once with the operation when it is not to wait', async () => {
    const { data } = (await ask('volume.create', {
      name: 'later',
      sizeBytes: MIB,
      wait: false,
    })) as {
      data: { operation: { id: string; kind: string } };
    };
    expect(data.operation.kind).toBe('volume.create');
    const ended = (await ask('operation.wait', { operation: data.operation.id })).data;
    expect(ended).toMatchObject({ state: 'succeeded', result: { name: 'later' } });
    await ask('volume.delete', { volume: 'later' });
  });

  it('leaves one whole trace of each operation', async () => {
    const expected = {
      'volume.create': ['saga.step volume.create/place', 'spdk bdev_lvol_create'],
      'volume.attach': [
        'saga.step volume.attach/start-engine',
        'spdk bdev_raid_create',
        'spdk nvmf_create_subsystem',
      ],
      'snapshot.create': [
        'saga.step snapshot.create/take',
        'spdk lariat_bdev_quiesce',
        'spdk bdev_lvol_snapshot',
      ],
      'volume.detach': ['saga.step volume.detach/stop-engine', 'spdk bdev_raid_delete'],
      'volume.delete': ['saga.step volume.delete/delete-replicas', 'spdk bdev_lvol_delete'],
    };
    const bodies: Record<keyof typeof expected, object> = {
      'volume.create': { name: 'traced', sizeBytes: MIB },
      'volume.attach': { volume: 'traced', node: 'n2', frontend: 'nvmf' },
      'snapshot.create': { volume: 'traced', snapshot: 's1' },
      'volume.detach': { volume: 'traced' },
      'volume.delete': { volume: 'traced' },
    };
    let number = 0;
    for (const [name, body] of Object.entries(bodies) as [keyof typeof expected, object][]) {
      number += 1;
      const traceId = String(number).padStart(32, 'a');
      const parent = 'b'.repeat(16);
      const reply = await ask(name, body, { traceparent: `00-${traceId}-${parent}-01` });
      expect(reply.error).toBeUndefined();
      const wanted = [`request ${name}`, `saga ${name}`, ...expected[name]];
      const spans = await until(`the spans of ${name}`, 10_000, async () => {
        const found = await readTrace(e2e.connection, traceId);
        const ids = new Set(found.map(({ spanId }) => spanId)).add(parent);
        const whole = found.every(
          ({ parentSpanId }) => parentSpanId !== null && ids.has(parentSpanId),
        );
        const count = (prefix: string): number =>
          found.filter((span) => span.name.startsWith(prefix)).length;
        // Each command that was sent was carried out in the same trace; each process sends its spans by itself.
        const carriedOut = count('publish ') === count('process ');
        const named = wanted.every((one) => found.some((span) => span.name === one));
        return whole && carriedOut && named ? found : undefined;
      });
      expect(spans.every((span) => span.durationMs >= 0 && span.durationMs < 60_000)).toBe(true);
    }
  });

  it.skipIf(!has('nbdinfo') || !has('qemu-io'))(
    'is read and written by nbdinfo and qemu-io',
    async () => {
      await ask('volume.create', { name: 'tools', sizeBytes: 16 * MIB });
      const { data } = (await ask('volume.attach', {
        volume: 'tools',
        node: 'n2',
        frontend: 'nbd',
      })) as { data: VolumeView };
      const uri = data.attachment?.endpoint ?? '';
      expect((await run('nbdinfo', ['--size', uri])).stdout.trim()).toBe(String(16 * MIB));
      const io = (command: string): Promise<{ stdout: string }> =>
        run('qemu-io', ['-f', 'raw', '-c', command, uri]);
      await io('write -P 0x5a 1M 64k');
      expect((await io('read -P 0x5a 1M 64k')).stdout).toContain('read 65536/65536');
      expect((await io('read -P 0x00 2M 64k')).stdout).not.toContain('failed');
      await ask('volume.detach', { volume: 'tools' });
      await ask('volume.delete', { volume: 'tools' });
    },
  );
});
