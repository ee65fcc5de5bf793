import { type CommandEnvelope, type VolumeView, commandSubject } from '@lariat/contracts';
import { MIB, delay, toLariatError } from '@lariat/kernel';
import { jetstream } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../fuzz/support/random.js';
import { type E2eCluster, startE2e } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;
const SEED = process.env.LARIAT_SEED ?? String(Date.now());

interface Asked {
  readonly name: 'volume.create' | 'volume.attach' | 'snapshot.create' | 'volume.detach';
  readonly body: object;
  readonly requestId: string;
}

describe('what comes more than once, and in any order', () => {
  let e2e: E2eCluster;
  const random = new Random(SEED);
  beforeAll(async () => {
    process.stderr.write(`LARIAT_SEED=${SEED}\n`);
    e2e = await startE2e();
  });
  afterAll(async () => {
    await e2e.stop();
  });

  const ask = ({ name, body, requestId }: Asked): Promise<unknown> =>
    e2e.client.requestRaw(name, body, { requestId });

  const life = (volume: string): readonly Asked[] => [
    {
      name: 'volume.create',
      body: { name: volume, sizeBytes: SIZE_BYTES, replicas: 3 },
      requestId: `${volume}-1`,
    },
    {
      name: 'volume.attach',
      body: { volume, node: 'n1', frontend: 'nbd' },
      requestId: `${volume}-2`,
    },
    { name: 'snapshot.create', body: { volume, snapshot: 's' }, requestId: `${volume}-3` },
    { name: 'volume.detach', body: { volume }, requestId: `${volume}-4` },
  ];

  it('a request is carried out once, and answered alike each time', async () => {
    const { client } = e2e;
    const first: unknown[] = [];
    for (const asked of life('v')) {
      // Three at different moments: some beside the first one, some after it.
      const answers = await Promise.all(
        [0, 1, 2].map(async () => {
          await delay(random.below(300));
          return ask(asked);
        }),
      );
      for (const answer of answers) expect(answer).toEqual(answers[0]);
      first.push(answers[0]);
    }
    const before = await client.request('volume.get', { volume: 'v' });
    expect(before).toMatchObject({ state: 'detached', robustness: 'healthy' });
    const late = life('v').map((asked, index) => ({ asked, index }));
    for (const { asked, index } of shuffled([...late, ...late], random))
      expect(await ask(asked)).toEqual(first[index]);
    expect(await client.request('volume.get', { volume: 'v' })).toEqual(before);
    await client.request('volume.delete', { volume: 'v' });
    // Its key is known still: no new volume comes of it.
    await ask(life('v')[0] as Asked);
    expect((await client.request('volume.list', {})).volumes).toEqual([]);
    expect(await e2e.leftovers()).toEqual([]);
  });

  it('a command that NATS delivers again, at once or late, changes nothing more', async () => {
    const { client, connection } = e2e;
    const js = jetstream(connection);
    const seen: { readonly subject: string; readonly data: Uint8Array }[] = [];
    const known = new Set<string>();
    const repeats: Promise<unknown>[] = [];
    const listening = connection.subscribe(commandSubject('*', '*.*'), {
      callback: (_error, { subject, data }) => {
        const { id } = JSON.parse(new TextDecoder().decode(data)) as CommandEnvelope;
        if (known.has(id)) return;
        known.add(id);
        seen.push({ subject, data: data.slice() });
        const again = async (afterMs: number): Promise<void> => {
          await delay(afterMs);
          await js.publish(subject, data);
        };
        repeats.push(again(0), again(random.below(400)));
      },
    });
    for (const asked of life('w')) await ask(asked);
    await Promise.all(repeats.splice(0));
    const attached = (await client.request('volume.attach', {
      volume: 'w',
      node: 'n2',
      frontend: 'nbd',
    })) as VolumeView;
    const device = await e2e.open('w');
    const data = Buffer.alloc(4096, 7);
    await device.write(0, data);
    // All that was ever asked of the agents, in another order; none of it is older than its deadline of 10 s by much.
    for (const { subject, data: envelope } of shuffled(seen, random))
      await js.publish(subject, envelope);
    await device.write(4096, data);
    await drained();
    expect(await client.request('volume.get', { volume: 'w' })).toEqual(attached);
    await device.write(8192, data);
    expect((await device.read(0, 12_288)).equals(Buffer.alloc(12_288, 7))).toBe(true);
    await device.close();
    await client.request('volume.detach', { volume: 'w' });
    expect(await client.request('replica.checksum', { volume: 'w' })).toMatchObject({
      identical: true,
    });
    await client.request('volume.delete', { volume: 'w' });
    listening.unsubscribe();
    await Promise.all(repeats);
    for (const { subject, data: envelope } of shuffled(seen, random))
      await js.publish(subject, envelope);
    await drained();
    expect(seen.length).toBeGreaterThan(20);
    expect(await e2e.leftovers(40_000)).toEqual([]);
  });

  it('an earlier try of a command that comes after all is over leaves nothing for good', async () => {
    const { client, connection } = e2e;
    const js = jetstream(connection);
    const creates: CommandEnvelope[] = [];
    const subjects: string[] = [];
    const listening = connection.subscribe(commandSubject('*', 'replica.create'), {
      callback: (_error, message) => {
        creates.push(JSON.parse(message.string()) as CommandEnvelope);
        subjects.push(message.subject);
      },
    });
    await client.request('volume.create', { name: 'x', sizeBytes: SIZE_BYTES, replicas: 3 });
    await client.request('volume.delete', { volume: 'x' });
    listening.unsubscribe();
    expect(creates).toHaveLength(3);
    // As the first try of a step whose second one was quicker: another id, and nothing in the journal of it.
    for (const [index, envelope] of [...creates].entries()) {
      const late = { ...envelope, id: `${envelope.id}/late`, deadlineAtMs: Date.now() + 10_000 };
      await js.publish(subjects[index] ?? '', JSON.stringify(late));
    }
    await drained();
    expect(await e2e.leftovers(60_000)).toEqual([]);
  }, 120_000);

  it('a request whose answer was lost is found again by its key', async () => {
    const { client } = e2e;
    const asked = { name: 'y', sizeBytes: SIZE_BYTES, replicas: 3 };
    const options = { requestId: 'y-1', timeoutMs: 1 };
    const lost = await client.request('volume.create', asked, options).catch(toLariatError);
    expect(lost).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    const found = await client.request('volume.create', asked, { requestId: 'y-1' });
    expect(found).toMatchObject({ name: 'y', state: 'detached', robustness: 'healthy' });
    expect((await client.request('volume.list', {})).volumes).toEqual([found]);
    await client.request('volume.delete', { volume: 'y' });
    expect(await e2e.leftovers()).toEqual([]);
  });

  /** Resolves when the agents have taken all commands from the stream. */
  async function drained(): Promise<void> {
    const manager = await jetstream(e2e.connection).jetstreamManager();
    const deadline = performance.now() + 20_000;
    while ((await manager.streams.info('LARIAT_COMMANDS')).state.messages > 0) {
      if (performance.now() > deadline) throw new Error('commands are left in the stream');
      await delay(50);
    }
  }
});

function shuffled<T>(items: readonly T[], random: Random): readonly T[] {
  const left = [...items];
  return items.map(() => left.splice(random.below(left.length), 1)[0] as T);
}
