import { findTargetSocket } from '@lariat/cli';
import { STREAMS, commandConsumer } from '@lariat/contracts';
import { MIB, newReplicaId } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { METRICS } from '@lariat/telemetry';
import { OtlpReceiver, type ReceivedSpan, spanFaults } from '@lariat/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, until } from './e2e-cluster.js';
import { SAGAS_OF_TROUBLE, startWithCollector } from './with-collector.js';

const SIZE_BYTES = 4 * MIB;
const BOUND_MS = 60_000;
const LONG = { timeoutMs: BOUND_MS };
const STOPPED = 'n2';
const DEAD = 'n3';

describe('a cluster with a collector, in which something is lost', () => {
  let receiver: OtlpReceiver;
  let e2e: E2eCluster;

  beforeAll(async () => {
    receiver = await OtlpReceiver.start();
    e2e = await startWithCollector(receiver);
  }, 120_000);
  afterAll(async () => {
    await e2e.stop();
    await receiver.close();
  });

  const spansOf = (prefix: string): readonly ReceivedSpan[] =>
    receiver.spans.filter(({ name }) => name.startsWith(prefix));
  /** Nothing of it is lost with who is killed then. */
  const allIsTold = (): Promise<void> =>
    receiver.until('whole traces', BOUND_MS, () => spanFaults(receiver.spans).length === 0);

  async function unsettledOn(node: string): Promise<number> {
    const { consumers } = await jetstreamManager(e2e.connection);
    return (await consumers.info(STREAMS.commands.name, commandConsumer(node))).num_ack_pending;
  }

  it('tells of a command that comes again how often it came, in the trace of who sent it', async () => {
    await allIsTold();
    await e2e.cluster.kill(STOPPED, 'SIGSTOP');
    const body = { name: 'v', sizeBytes: SIZE_BYTES, replicas: 3 };
    const created = e2e.client.request('volume.create', body, LONG);
    await until('the command to be delivered', BOUND_MS, async () =>
      (await unsettledOn(STOPPED)) > 0 ? true : undefined,
    );
    await e2e.cluster.kill(STOPPED, 'SIGKILL');
    expect(await created).toMatchObject({ state: 'detached', robustness: 'healthy' });
    const again = (): ReceivedSpan | undefined =>
      spansOf('process ').find(
        ({ attributes }) => Number(attributes['messaging.nats.delivery_count']) > 1,
      );
    await receiver.until('the second delivery', BOUND_MS, () => again() !== undefined);
    await allIsTold();
    const saga = spansOf('saga volume.create')[0];
    expect(saga?.attributes['saga.outcome']).toBe('completed');
    expect(again()).toMatchObject({
      traceId: saga?.traceId,
      attributes: { 'node.id': STOPPED },
    });
    const sent = receiver.spans.find(({ spanId }) => spanId === again()?.parentSpanId);
    expect(sent?.name).toMatch(/^publish /);
    const redelivered = (): boolean =>
      receiver.metrics.some(
        ({ name, points }) =>
          name === METRICS.redeliveries.name && points.some(({ value }) => value > 0),
      );
    await receiver.until('the metric of it', BOUND_MS, redelivered);
    expect(redelivered()).toBe(true);
  }, 120_000);

  it('sends whole traces of what is deleted, removed and made anew for it', async () => {
    const { client, cluster } = e2e;
    await client.request('snapshot.create', { volume: 'v', snapshot: 's' }, LONG);
    const source = { volume: 'v', snapshot: 's' };
    await client.request('image.create', { name: 'i', source, minimumCopies: 2 }, LONG);
    await until('a second copy of the image', BOUND_MS, async () => {
      const { copies } = await client.request('image.get', { image: 'i' });
      return copies.filter(({ state }) => state === 'ready').length > 1 ? true : undefined;
    });
    await client.request('orphan.delete', { orphan: await newOrphan('n1') }, LONG);
    await allIsTold();
    await cluster.killNode(DEAD);
    await until('the node to be down', BOUND_MS, async () =>
      (await client.request('node.get', { node: DEAD })).state === 'down' ? true : undefined,
    );
    await client.request('node.remove', { node: DEAD, acceptDataLoss: true }, LONG);
    const ended = (kind: string): ReceivedSpan | undefined => spansOf(`saga ${kind}`)[0];
    await receiver.until('each saga', BOUND_MS, () =>
      SAGAS_OF_TROUBLE.every((kind) => ended(kind) !== undefined),
    );
    await allIsTold();
    for (const kind of SAGAS_OF_TROUBLE) {
      const saga = ended(kind);
      expect([kind, saga?.attributes['saga.outcome']]).toEqual([kind, 'completed']);
      const steps = spansOf(`saga.step ${kind}/`).filter(
        ({ parentSpanId }) => parentSpanId === saga?.spanId,
      );
      expect([kind, steps.length > 0]).toEqual([kind, true]);
    }
    for (const verb of ['node.remove', 'orphan.delete'] as const) {
      const asked = receiver.spans.find(({ spanId }) => spanId === ended(verb)?.parentSpanId);
      expect(asked).toMatchObject({ name: `request ${verb}`, parentSpanId: '' });
    }
  }, 180_000);

  async function newOrphan(node: string): Promise<string> {
    const [disk] = (await e2e.client.request('disk.list', { node })).disks;
    const socketPath = await findTargetSocket(e2e.cluster.paths.node(node));
    const rpc = await SpdkClient.connect({ socketPath: socketPath ?? '' });
    const store = { lvsName: disk?.id ?? '' };
    const uuid = await new Spdk(rpc).lvol.create({ store, lvolName: newReplicaId(), sizeMib: 4 });
    rpc.close();
    return until('the orphan to be found', BOUND_MS, async () => {
      const { orphans } = await e2e.client.request('orphan.list', {});
      return orphans.find((orphan) => orphan.uuid === uuid)?.id;
    });
  }
});
