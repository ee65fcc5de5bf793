import { type LariatEvent, eventFilter } from '@lariat/contracts';
import { MIB, delay } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChaosCluster } from './chaos-cluster.js';
import { steadyLoad } from './steady-load.js';

const SIZE_BYTES = 8 * MIB;

describe('a volume whose disks another volume uses too', () => {
  let chaos: ChaosCluster;
  beforeAll(async () => {
    chaos = await ChaosCluster.start(3);
  });
  afterAll(async () => {
    await chaos.stop();
  });

  it('has no event and no failed I/O while that one deletes and rebuilds replicas in every way', async () => {
    await chaos.whole();
    const create = { sizeBytes: SIZE_BYTES, replicas: 3 };
    const events: LariatEvent[] = [];
    const listening = chaos.connection.subscribe(eventFilter('volume.>'), {
      callback: (_error, message) => void events.push(message.json<LariatEvent>()),
    });
    /** Resolves when this has been told, and with it all that was before. */
    const told = async (type: string, name: string): Promise<void> => {
      const deadline = performance.now() + 15_000;
      const isIt = (event: LariatEvent): boolean =>
        event.type === type && (event.data as { name?: string } | null)?.name === name;
      while (!events.some(isIt)) {
        if (performance.now() > deadline) throw new Error(`${type} of ${name} was not told`);
        await delay(50);
      }
    };
    await chaos.perform('volume.create', { name: 'quiet', ...create });
    await chaos.perform('volume.attach', { volume: 'quiet', node: 'n1', frontend: 'nbd' });
    await chaos.perform('snapshot.create', { volume: 'quiet', snapshot: 'kept' });
    const before = await chaos.client.request('volume.get', { volume: 'quiet' });
    const kept = await checksum('quiet', 'kept');
    await told('snapshot-created', 'kept');
    const known = Math.max(...events.map(({ sequence }) => sequence));
    const load = await steadyLoad(before.attachment?.endpoint ?? '', SIZE_BYTES);

    await disturb('noisy');

    await told('deleted', 'noisy');
    listening.unsubscribe();
    const { blocks, failures } = await load.end();
    expect(failures).toEqual([]);
    expect(blocks).toBeGreaterThan(100);
    // An event may be told twice; a new one has a higher number.
    const isNew = (event: LariatEvent): boolean =>
      event.objectId === before.id && event.sequence > known;
    expect(events.filter(isNew)).toEqual([]);
    expect(events.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['degraded', 'replica-removed', 'replica-synced', 'healthy']),
    );
    expect(await chaos.client.request('volume.get', { volume: 'quiet' })).toEqual(before);
    expect(await checksum('quiet', 'kept')).toEqual(kept);
    await chaos.perform('volume.detach', { volume: 'quiet' });
    expect(await checksum('quiet')).toMatchObject({ identical: true, replicas: [{}, {}, {}] });
    await chaos.perform('volume.delete', { volume: 'quiet' });
    expect(await chaos.leftovers()).toEqual([]);
  }, 300_000);

  const checksum = (volume: string, snapshot?: string): Promise<unknown> =>
    chaos.retrying('the replicas to be compared', () =>
      chaos.client.request(
        'replica.checksum',
        { volume, ...(snapshot === undefined ? {} : { snapshot }) },
        { timeoutMs: 30_000 },
      ),
    );

  /** Each way in which a replica goes, and comes: attached and detached, alone, undone, with its volume, cut short. */
  async function disturb(volume: string): Promise<void> {
    const create = { name: volume, sizeBytes: SIZE_BYTES, replicas: 3 };
    await chaos.perform('volume.create', create);
    await chaos.perform('snapshot.create', { volume, snapshot: 's1' });
    for (const attached of [false, true]) {
      if (attached) await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
      for (const node of ['n1', 'n2', 'n3']) {
        // The engine's own replica too, and each other one.
        await removeReplica(volume, node);
        await chaos.perform('replica.rebuild', { volume });
      }
    }
    // A rebuild that fails half-way: what it has made is undone, and it is begun anew.
    await removeReplica(volume, 'n2');
    await removeReplica(volume, 'n3');
    await chaos.arm('node-agent-n2', {
      point: 'agent/rebuild.finish/intent-journaled',
      action: 'throw',
    });
    // A service that dies in a rebuild, and takes it up again.
    await chaos.arm('replica-svc', { point: 'saga/replica.rebuild/copy/after', action: 'kill' });
    await chaos.perform('replica.rebuild', { volume });
    await chaos.perform('replica.rebuild', { volume });
    await chaos.perform('snapshot.delete', { volume, snapshot: 's1' });
    await chaos.perform('volume.detach', { volume });
    await chaos.arm('volume-svc', {
      point: 'saga/volume.delete/delete-replicas/after',
      action: 'kill',
    });
    await chaos.perform('volume.delete', { volume });
    await chaos.perform('volume.create', create);
    await chaos.perform('volume.delete', { volume });
  }

  async function removeReplica(volume: string, node: string): Promise<void> {
    const { replicas } = await chaos.client.request('replica.list', { volume });
    const there = replicas.find((replica) => replica.node === node);
    if (there === undefined) throw new Error(`${volume} has no replica on ${node}`);
    await chaos.perform('replica.remove', { volume, replica: there.id });
  }
});
