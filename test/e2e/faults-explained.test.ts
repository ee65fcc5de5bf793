// Whatever goes wrong: the operation says which step waits, and for which node or what else, and its trace says the same,
// to `lariat trace` and to a collector, while it waits. docs/runbook.md shows how to read both.
import { randomBytes } from 'node:crypto';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clusterPaths, defaultLaunchPlan, findNatsServer, waitForNodes } from '@lariat/cli';
import { type OperationView, type RequestMap, type RequestName, isEnded } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { readTrace } from '@lariat/messaging';
import { OtlpReceiver } from '@lariat/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RecordedFolder } from '../left-over/record.js';
import { type E2eCluster, processesOf, startE2e, until } from './e2e-cluster.js';
import { Gate } from './gate.js';

const NODES = ['n1', 'n2', 'n3'];
const SIZE_BYTES = 24 * MIB;
const SMALL_DISK_BYTES = 64 * MIB;
const TOLD_MS = 30_000;
const ENDED_MS = 60_000;
const TRACE_ID = /^[0-9a-f]{32}$/;

interface Wait {
  readonly step: string;
  /** Null: no node is waited for; then `what` says for what. */
  readonly node: string | null;
  readonly what?: string;
}

describe('a fault', () => {
  const folder = RecordedFolder.make('lariat-e2e-');
  const heal: (() => void | Promise<void>)[] = [];
  let receiver: OtlpReceiver;
  let gate: Gate;
  let e2e: E2eCluster;

  beforeAll(async () => {
    receiver = await OtlpReceiver.start();
    gate = await Gate.start();
    const env = {
      ...process.env,
      LARIAT_REBUILD: 'manual',
      LARIAT_IMAGE_FOLDERS: tmpdir(),
      LARIAT_IMAGE_ALLOW: '127.0.0.1',
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
      OTEL_METRICS_EXPORTER: 'none',
      OTEL_BSP_SCHEDULE_DELAY: '200',
    };
    const plan = defaultLaunchPlan({
      paths: clusterPaths(folder.path),
      natsServer: findNatsServer(env),
      ...{ plugins: [], split: false, target: 'soft', spdkBin: undefined, env },
    });
    e2e = await startE2e({
      dataDir: folder.path,
      plan: {
        ...plan,
        agent: (natsUrl, node) => {
          gate.leadTo(natsUrl);
          return plan.agent(node.name === 'n2' ? gate.url : natsUrl, node);
        },
      },
    });
    const { client } = e2e;
    await client.request('volume.create', { name: 'v', sizeBytes: SIZE_BYTES, replicas: 3 });
    await client.request('volume.attach', { volume: 'v', node: 'n1', frontend: 'nbd' });
    const device = await e2e.open('v');
    await device.writeAll(0, randomBytes(SIZE_BYTES));
    await device.close();
  }, 120_000);

  afterEach(async () => {
    for (const undo of heal.splice(0)) await undo();
    const { natsUrl, paths } = e2e.cluster;
    await waitForNodes(natsUrl, paths.credentials, NODES, ENDED_MS);
  }, 120_000);

  afterAll(async () => {
    await e2e.stop();
    folder.remove();
    gate.close();
    await receiver.close();
  });

  const get = (operation: string): Promise<OperationView> =>
    e2e.client.request('operation.get', { operation }, { timeoutMs: 5_000 });

  async function begin<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
  ): Promise<string> {
    const answer = await e2e.client.requestRaw(name, Object.assign({}, body, { wait: false }), {
      timeoutMs: 10_000,
    });
    return (answer as { operation: OperationView }).operation.id;
  }

  /** At the end of a test, when what was at fault is mended, the operation ends one way or the other. */
  const ends = (operation: string): void => {
    heal.push(() =>
      until(`${operation} to end`, ENDED_MS, async () =>
        isEnded((await get(operation).catch(() => undefined))?.state ?? 'running')
          ? true
          : undefined,
      ).then(() => undefined),
    );
  };

  async function freeze(name: string): Promise<void> {
    const pid = await e2e.cluster.kill(name, 'SIGSTOP');
    heal.push(() => goOn(pid));
  }

  const goOn = (pid: number): void => {
    try {
      process.kill(pid, 'SIGCONT');
    } catch {
      // Another one was put in its place.
    }
  };

  /** What it waits for, or, of one that has ended meanwhile, what it failed at. */
  function waitOf({ step, node, error, waitingFor }: OperationView): Wait {
    const { details = {} } = error ?? {};
    const failedAt = (key: 'step' | 'node') =>
      typeof details[key] === 'string' ? details[key] : undefined;
    return {
      step: failedAt('step') ?? step ?? '',
      node: failedAt('node') ?? node,
      what: waitingFor ?? '',
    };
  }

  async function explained(operation: string, { step, node, what = '' }: Wait): Promise<string> {
    let last: OperationView | undefined;
    const seen = await until(`${operation} to name ${step} and ${node}`, TOLD_MS, async () => {
      last = await get(operation).catch(() => last);
      if (last === undefined) return undefined;
      const told = waitOf(last);
      const isIt = told.step === step && told.node === node && told.what?.includes(what) === true;
      return isIt ? last : undefined;
    }).catch((error: unknown) => {
      throw new Error(`it says ${JSON.stringify(last)}`, { cause: error });
    });
    expect(Date.parse(seen.since)).toBeGreaterThan(0);
    const inSpan = (attributes: Readonly<Record<string, unknown>>): boolean =>
      attributes['saga.id'] === operation &&
      attributes['saga.step'] === step &&
      (node === null
        ? String(attributes['saga.waiting_for']).includes(what)
        : attributes['node.id'] === node);
    await receiver.until(`a span of ${step} with ${node}`, TOLD_MS, () =>
      receiver.spans.some(
        ({ traceId, attributes }) => traceId === seen.traceId && inSpan(attributes),
      ),
    );
    await until(`lariat trace to show ${step} with ${node}`, TOLD_MS, async () =>
      (await readTrace(e2e.connection, seen.traceId)).some(({ attributes }) => inSpan(attributes))
        ? true
        : undefined,
    );
    return seen.traceId;
  }

  const volume = (name: string) => ({ name, sizeBytes: SIZE_BYTES, replicas: 3 });

  it('agent frozen that another operation waits for: a node is drained', async () => {
    const { client } = e2e;
    await client.request('volume.create', { ...volume('moved'), replicas: 1 });
    const [only] = (await client.request('volume.get', { volume: 'moved' })).replicas;
    const node = only?.node ?? '';
    await client.request('volume.attach', { volume: 'moved', node, frontend: 'nbd' });
    const device = await e2e.open('moved');
    await device.writeAll(0, randomBytes(SIZE_BYTES));
    await device.close();
    await client.request('rebuild.update', { volume: 'moved', mibPerSecond: 2 });
    const operation = await begin('node.drain', { node, atOnce: 8 });
    await until('the move to copy', TOLD_MS, async () => {
      const { operation: move } = await client.request('volume.get', { volume: 'moved' });
      return move !== null && (await get(move)).step === 'copy' ? true : undefined;
    });
    await freeze(node);
    ends(operation);
    heal.push(async () => void (await client.request('node.uncordon', { node })));
    expect(await explained(operation, { step: 'move-replicas', node })).toMatch(TRACE_ID);
  });

  it('agent frozen: a volume is made', async () => {
    await freeze('n3');
    const operation = await begin('volume.create', volume('agent-frozen'));
    ends(operation);
    expect(await explained(operation, { step: 'create-replicas', node: 'n3' })).toMatch(TRACE_ID);
  });

  it('node dead: a volume is made', async () => {
    await e2e.cluster.killNode('n3');
    heal.push(async () => void (await e2e.cluster.startNode('n3')));
    const operation = await begin('volume.create', volume('node-dead'));
    ends(operation);
    expect(await explained(operation, { step: 'create-replicas', node: 'n3' })).toMatch(TRACE_ID);
  });

  it('target hangs: a volume is made', async () => {
    await freeze('n2/target');
    const operation = await begin('volume.create', volume('target-hangs'));
    ends(operation);
    expect(await explained(operation, { step: 'create-replicas', node: 'n2' })).toMatch(TRACE_ID);
  });

  it('NATS cut from an agent: a volume is made', async () => {
    gate.shut();
    heal.push(() => gate.open());
    const operation = await begin('volume.create', volume('cut-off'));
    ends(operation);
    expect(await explained(operation, { step: 'create-replicas', node: 'n2' })).toMatch(TRACE_ID);
  });

  it('service killed in the midst: another goes on, in the same trace', async () => {
    await freeze('n3');
    const operation = await begin('volume.create', volume('service-killed'));
    ends(operation);
    const traceId = await explained(operation, { step: 'create-replicas', node: 'n3' });
    await e2e.cluster.kill('services');
    await receiver.until('the operation to be taken up', ENDED_MS, () =>
      receiver.spans.some(
        (span) => span.name === 'saga.resume volume.create' && span.traceId === traceId,
      ),
    );
    expect((await get(operation)).attempt).toBeGreaterThan(1);
    expect(await explained(operation, { step: 'create-replicas', node: 'n3' })).toBe(traceId);
  });

  it('frontend hangs: a volume is detached', async () => {
    await e2e.client.request('volume.create', { ...volume('hangs'), replicas: 1 });
    await e2e.client.request('volume.attach', { volume: 'hangs', node: 'n1', frontend: 'nbd' });
    const { id } = await e2e.client.request('volume.get', { volume: 'hangs' });
    const [pid] = processesOf(folder.path)
      .filter((line) => line.includes('/nbd/') && line.includes(id))
      .map((line) => Number.parseInt(line, 10));
    if (pid === undefined) throw new Error('no NBD server of the volume runs');
    process.kill(pid, 'SIGSTOP');
    heal.push(() => goOn(pid));
    const operation = await begin('volume.detach', { volume: 'hangs' });
    ends(operation);
    expect(await explained(operation, { step: 'stop-frontend', node: 'n1' })).toMatch(TRACE_ID);
  });

  it('engine’s agent frozen: a snapshot is taken', async () => {
    await freeze('n1');
    const operation = await begin('snapshot.create', { volume: 'v', snapshot: 's' });
    ends(operation);
    expect(await explained(operation, { step: 'take', node: 'n1' })).toMatch(TRACE_ID);
  });

  it('image source sends nothing more: an image is imported', async () => {
    const server: Server = createServer((_request, response) => {
      response.writeHead(200, { 'content-length': SIZE_BYTES });
      response.write(randomBytes(MIB));
    });
    server.listen(0, '127.0.0.1');
    await until('the web server', 5_000, async () => (server.listening ? true : undefined));
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const url = `http://${host}/image.raw`;
    const operation = await begin('image.create', { name: 'slow', source: { url } });
    ends(operation);
    heal.unshift(async () => {
      await e2e.client.request('operation.cancel', { operation });
      server.closeAllConnections();
      server.close();
    });
    expect(
      await explained(operation, { step: 'import', node: null, what: `what ${host} sends` }),
    ).toMatch(TRACE_ID);
  });

  it('leg lost while it is made: a replica is added', async () => {
    const { client } = e2e;
    const { replicas } = await client.request('volume.get', { volume: 'v' });
    const last = replicas.find(({ node }) => node === 'n3')?.id ?? '';
    await client.request('replica.remove', { volume: 'v', replica: last });
    await client.request('rebuild.update', { volume: 'v', mibPerSecond: 1 });
    const operation = await begin('replica.rebuild', { volume: 'v' });
    ends(operation);
    heal.push(async () => void (await e2e.cluster.startNode('n3')));
    await until('the copy to begin', TOLD_MS, async () =>
      (await get(operation)).step === 'copy' ? true : undefined,
    );
    await e2e.cluster.killNode('n3');
    expect(await explained(operation, { step: 'copy', node: 'n3' })).toMatch(TRACE_ID);
  });

  it('disk full: a replica is added', async () => {
    const { client } = e2e;
    for (const node of NODES) {
      const path = join(folder.path, `small-${node}.img`);
      const { id: disk } = await client.request('disk.add', {
        ...{
          node,
          path,
          name: 'small',
          sizeBytes: SMALL_DISK_BYTES,
          tags: [`of-${node}`, 'small'],
        },
      });
      await client.request('disk.update', { node, disk, overProvisioningPercent: 1_000 });
    }
    const filled = async (name: string, sizeBytes: number, replicas: number, diskTag: string) => {
      const placement = { diskTags: [diskTag] };
      await client.request('volume.create', { name, sizeBytes, replicas, placement });
      await client.request('volume.attach', { volume: name, node: 'n1', frontend: 'nbd' });
      const device = await e2e.open(name);
      await device.writeAll(0, randomBytes(sizeBytes));
      await device.close();
    };
    await filled('filler', 48 * MIB, 1, 'of-n3');
    await client.request('volume.create', {
      ...{ name: 'late', sizeBytes: 32 * MIB, replicas: 3, placement: { diskTags: ['small'] } },
    });
    const { replicas } = await client.request('volume.get', { volume: 'late' });
    const last = replicas.find(({ node }) => node === 'n3')?.id ?? '';
    await client.request('replica.remove', { volume: 'late', replica: last });
    await client.request('volume.attach', { volume: 'late', node: 'n1', frontend: 'nbd' });
    const device = await e2e.open('late');
    await device.writeAll(0, randomBytes(32 * MIB));
    await device.close();
    const operation = await begin('replica.rebuild', { volume: 'late' });
    ends(operation);
    expect(await explained(operation, { step: 'copy', node: 'n3' })).toMatch(TRACE_ID);
  });
});
