import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type ImageSagaDeps, imageSagas } from '@lariat/backing-image-svc';
import { REQUEST_DTOS, commandSubject } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { type RebuildDeps, replicaSagas } from '@lariat/replica-svc';
import { METRICS, type Metric } from '@lariat/telemetry';
import { OtlpReceiver, type ReceivedSpan, spanFaults } from '@lariat/testing';
import { type SagaDeps, volumeSagas } from '@lariat/volume-svc';
import { jetstream } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { E2eCluster } from './e2e-cluster.js';
import { SAGAS_OF_TROUBLE, startWithCollector } from './with-collector.js';

const SIZE_BYTES = 8 * MIB;
const LONG = { timeoutMs: 90_000 };
const SEEN_MS = 60_000;

const NAMES = ['volume', 'node', 'disk', 'image', 'snapshot', 'replica', 'operation', 'orphan'];

const SAGAS = [
  ...volumeSagas({} as SagaDeps),
  ...replicaSagas({} as RebuildDeps),
  ...imageSagas({} as ImageSagaDeps),
].map(({ kind }) => kind);
/** See telemetry-in-trouble.test.ts. */
const OTHERS: readonly string[] = SAGAS_OF_TROUBLE;

/** Nothing of these happens in a cluster in which nothing goes wrong. */
const OF_TROUBLE: readonly Metric[] = [METRICS.redeliveries, METRICS.orphans];
/** Nor is one of these there. */
const OF_CSI: readonly Metric[] = [METRICS.csiDuration];

describe('a cluster with a collector', () => {
  let receiver: OtlpReceiver;
  let e2e: E2eCluster;
  const verbs = new Set<string>();

  const ask: E2eCluster['client']['request'] = async (name, body) => {
    verbs.add(name);
    return e2e.client.request(name, body, LONG);
  };
  const spansOf = (prefix: string): readonly ReceivedSpan[] =>
    receiver.spans.filter(({ name }) => name.startsWith(prefix));
  const untold = (): readonly string[] => {
    const requests = new Set(spansOf('request ').map(({ name }) => name));
    return [...verbs].filter((verb) => !requests.has(`request ${verb}`));
  };
  const whole = (): boolean => spanFaults(receiver.spans).length === 0;

  async function useEverything(): Promise<void> {
    for (const name of ['node.list', 'disk.list', 'image.list', 'orphan.list'] as const)
      await ask(name, {});
    await ask('node.get', { node: 'n1' });
    await ask('volume.create', { name: 'v', sizeBytes: SIZE_BYTES, replicas: 2 });
    await ask('volume.get', { volume: 'v' });
    await ask('volume.list', {});
    await ask('volume.attach', { volume: 'v', node: 'n1', frontend: 'nbd' });
    const device = await e2e.open('v');
    await device.writeAll(0, randomBytes(SIZE_BYTES));
    await ask('snapshot.create', { volume: 'v', snapshot: 's' });
    const { replicas } = await ask('volume.get', { volume: 'v' });
    const other = replicas.find(({ node }) => node !== 'n1')?.node ?? '';
    // Its replica goes where none is.
    await ask('node.drain', { node: other });
    await ask('node.uncordon', { node: other });
    await ask('volume.update', { volume: 'v', replicas: 3 });
    await ask('volume.update', { volume: 'v', qos: { rwIops: 50_000 } });
    const [, last] = (await ask('replica.list', { volume: 'v' })).replicas;
    await ask('replica.remove', { volume: 'v', replica: last?.id ?? '' });
    await ask('replica.rebuild', { volume: 'v' });
    await ask('node.restart-target', { node: 'n2' });
    const path = join(e2e.cluster.paths.dataDir, 'second.img');
    await ask('disk.add', { node: 'n2', path, name: 'd2', sizeBytes: 64 * MIB });
    await ask('disk.remove', { node: 'n2', disk: 'd2' });
    await ask('image.create', { name: 'i', source: { volume: 'v', snapshot: 's' } });
    await ask('image.verify', { image: 'i' });
    await ask('volume.create', { name: 'c', replicas: 2, source: { volume: 'v', snapshot: 's' } });
    await ask('snapshot.create-group', { volumes: ['v', 'c'], snapshot: 'g' });
    await ask('snapshot.delete', { volume: 'v', snapshot: 'g' });
    await ask('volume.delete', { volume: 'c' });
    await ask('image.delete', { image: 'i' });
    await ask('cluster.recover', {});
    await ask('snapshot.get', { volume: 'v', snapshot: 's' });
    await ask('snapshot.list', { volume: 'v' });
    await ask('snapshot.verify', { volume: 'v', snapshot: 's' });
    await ask('volume.expand', { volume: 'v', sizeBytes: 2 * SIZE_BYTES });
    await device.close();
    await ask('volume.detach', { volume: 'v' });
    await ask('replica.checksum', { volume: 'v' });
    await ask('snapshot.revert', { volume: 'v', snapshot: 's' });
    await ask('snapshot.delete', { volume: 'v', snapshot: 's' });
    await ask('node.cordon', { node: 'n3' });
    await ask('node.uncordon', { node: 'n3' });
    await ask('operation.list', {});
    await ask('dead-letter.list', {});
    await ask('audit.list', {});
    const rest = Object.keys(REQUEST_DTOS).filter(
      (name) => !name.startsWith('internal.') && !verbs.has(name),
    );
    // Those are refused: nothing has such a name.
    const nobody = { ...Object.fromEntries(NAMES.map((key) => [key, 'nobody'])), sizeBytes: -1 };
    for (const name of rest) {
      verbs.add(name);
      await expect(e2e.client.requestRaw(name, nobody, LONG)).rejects.toThrow(/./);
    }
  }

  beforeAll(async () => {
    receiver = await OtlpReceiver.start();
    e2e = await startWithCollector(receiver);
    await useEverything();
    await receiver.until('each verb', SEEN_MS, () => untold().length === 0).catch(() => undefined);
  }, 240_000);
  afterAll(async () => {
    await e2e.stop();
    await receiver.close();
  });

  it(
    'sends whole traces: each span has a name, an end, and its parent',
    { timeout: 90_000 },
    async () => {
      await receiver.until('whole traces', SEEN_MS, whole).catch(() => undefined);
      expect(spanFaults(receiver.spans)).toEqual([]);
    },
  );

  it('has a span of each verb, and of each saga with its steps and their commands', () => {
    expect(untold()).toEqual([]);
    const sagas = spansOf('saga ');
    const names = new Set(sagas.map(({ name }) => name));
    expect(SAGAS.filter((kind) => !names.has(`saga ${kind}`) && !OTHERS.includes(kind))).toEqual(
      [],
    );
    for (const { name, traceId, spanId, attributes } of sagas) {
      // The cluster begins these by itself, and gives one up whose image is deleted meanwhile.
      const isOwn = name === 'saga image.spread';
      expect([name, isOwn || attributes['saga.outcome'] === 'completed']).toEqual([name, true]);
      const steps = spansOf(`saga.step ${name.slice('saga '.length)}/`).filter(
        (step) => step.traceId === traceId && step.parentSpanId === spanId,
      );
      expect([name, steps.length > 0]).toEqual([name, true]);
    }
    const processed = new Set(
      receiver.spans
        .filter(({ name }) => name.startsWith('process '))
        .map((span) => span.parentSpanId),
    );
    const unheard = spansOf('publish ').filter(({ spanId }) => !processed.has(spanId));
    expect(unheard.map(({ name }) => name)).toEqual([]);
    expect(spansOf('spdk bdev_lvol_create').length).toBeGreaterThan(0);
  });

  it(
    'tells in one trace of a request that fails, of its undo, and who refused',
    { timeout: 90_000 },
    async () => {
      await expect(ask('volume.get', { volume: 'nobody' })).rejects.toThrow('nobody');
      await expect(
        ask('volume.create', { name: 'huge', sizeBytes: 2 ** 50, replicas: 3 }),
      ).rejects.toMatchObject({ code: 'NO_CAPACITY' });
      const failed = (): ReceivedSpan | undefined =>
        spansOf('saga volume.create').find(
          (span) => span.attributes['saga.outcome'] === 'compensated',
        );
      await receiver.until('the failed saga', SEEN_MS, () => failed() !== undefined && whole());
      expect(failed()).toMatchObject({
        isError: true,
        attributes: { 'error.type': 'NO_CAPACITY' },
      });
      const request = receiver.spans.find(({ spanId }) => spanId === failed()?.parentSpanId);
      expect(request).toMatchObject({
        name: 'request volume.create',
        isError: true,
        parentSpanId: '',
      });
    },
  );

  it(
    'sends whole traces also of what an agent that died takes up',
    { timeout: 120_000 },
    async () => {
      const before = spansOf('saga volume.delete').length;
      await e2e.cluster.kill('n2');
      await ask('volume.delete', { volume: 'v' });
      await receiver.until(
        'the volume to be deleted',
        SEEN_MS,
        () => spansOf('saga volume.delete').length > before && whole(),
      );
      expect(spanFaults(receiver.spans)).toEqual([]);
    },
  );

  it(
    'measures by the table: each name, unit, kind and attribute is there, and all are sent',
    { timeout: 90_000 },
    async () => {
      const { connection } = e2e;
      await jetstream(connection).publish(commandSubject('n1', 'volume.nonsense'), 'no envelope');
      const table = Object.values<Metric>(METRICS);
      const sent = (): ReadonlySet<string> =>
        new Set(receiver.metrics.filter(({ points }) => points.length > 0).map(({ name }) => name));
      const missing = (): readonly string[] =>
        table
          .filter((metric) => ![...OF_TROUBLE, ...OF_CSI].includes(metric))
          .filter(({ name }) => !sent().has(name))
          .map(({ name }) => name);
      await receiver
        .until('all metrics', SEEN_MS, () => missing().length === 0)
        .catch(() => undefined);
      expect(missing()).toEqual([]);
      const kinds = {
        counter: 'counter',
        total: 'counter',
        gauge: 'gauge',
        histogram: 'histogram',
      };
      for (const metric of receiver.metrics) {
        const row = table.find(({ name }) => name === metric.name);
        expect(metric).toMatchObject({ unit: row?.unit, description: row?.description });
        expect(metric.kind).toBe(kinds[row?.kind ?? 'gauge']);
        for (const { attributes } of metric.points)
          expect(Object.keys(attributes).toSorted()).toEqual(row?.attributes.toSorted());
      }
    },
  );

  it('has on the trail who asked for what, with its result', async () => {
    const { entries } = await ask('audit.list', { request: 'volume.create' });
    expect(entries).toMatchObject([
      { actor: 'e2e', things: { name: 'v' }, service: 'volume-svc', result: 'ok' },
      { actor: 'e2e', things: { name: 'c' }, service: 'volume-svc', result: 'ok' },
      { actor: 'e2e', things: { name: 'huge' }, result: 'refused', code: 'NO_CAPACITY' },
    ]);
    const traces = new Set(receiver.spans.map(({ traceId }) => traceId));
    expect(entries.filter(({ traceId }) => !traces.has(traceId))).toEqual([]);
  });
});
