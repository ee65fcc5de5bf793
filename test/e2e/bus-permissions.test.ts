import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type BusRole,
  CLUSTER_ROLES,
  authorizationConfig,
  inboxOf,
  makeCredentials,
  nodeRequestSubject,
  tlsConfig,
  userOf,
} from '@lariat/bus';
import { findNatsServer } from '@lariat/cli';
import {
  BUCKETS,
  type CommandEnvelope,
  STREAMS,
  commandConsumer,
  commandSubject,
  deadLetterSubject,
  eventSubject,
  heartbeatSubject,
  inventorySubject,
  nodeFileSubject,
  pluginSubject,
  progressSubject,
  replySubject,
  requestSubject,
  uploadSubject,
} from '@lariat/contracts';
import { newInstanceId, toLariatError } from '@lariat/kernel';
import {
  CommandClient,
  CommandLane,
  EventLane,
  LariatClient,
  RequestLane,
  ServiceDiscovery,
  connectNats,
  ensureStreams,
  makeCommandConsumer,
  makeEventConsumer,
  readEvents,
} from '@lariat/messaging';
import { startNats, type TestNats } from '@lariat/testing';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import {
  type NatsConnection,
  NoRespondersError,
  PermissionViolationError,
} from '@nats-io/nats-core';
import { trace } from '@opentelemetry/api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REFUSAL } from './bus-refusals.js';
import { until } from './e2e-cluster.js';

const n1: BusRole = { kind: 'agent', node: 'n1' };
const n2: BusRole = { kind: 'agent', node: 'n2' };
const volumeSvc: BusRole = { kind: 'service', service: 'volume-svc' };
const replicaSvc: BusRole = { kind: 'service', service: 'replica-svc' };
const ROLES = [...CLUSTER_ROLES, n1, n2];

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined };
const silent = { ...log, error: () => undefined };
const tracer = trace.getTracer('test');

const folder = mkdtempSync(join(tmpdir(), 'lariat-bus-'));
const credentials = join(folder, 'credentials');
let nats: TestNats;
const connections = new Map<string, NatsConnection>();
const as = (role: BusRole): NatsConnection => {
  const connection = connections.get(userOf(role));
  if (connection === undefined) throw new Error(`${userOf(role)} is not connected`);
  return connection;
};
const connect = (role: BusRole): Promise<NatsConnection> =>
  connectNats({ servers: nats.url, name: userOf(role), role, access: { credentials } });

const violationOf = (reason: unknown): unknown =>
  reason instanceof Error && reason.cause instanceof PermissionViolationError
    ? reason.cause
    : reason;

/** What NATS says of each; `through` when it lets it pass. */
async function saying(role: BusRole, subjects: readonly string[]): Promise<readonly string[]> {
  return Promise.all(
    subjects.map(async (subject) => {
      try {
        await as(role).request(subject, '{}', { timeout: 500 });
      } catch (reason) {
        const found = violationOf(reason);
        if (found instanceof PermissionViolationError && found.subject === subject)
          return `refused ${subject}`;
      }
      return `through ${subject}`;
    }),
  );
}

async function hearing(role: BusRole, subjects: readonly string[]): Promise<readonly string[]> {
  const said = subjects.map(
    (subject) =>
      new Promise<string>((resolve) => {
        const subscription = as(role).subscribe(subject, {
          callback: (error) => {
            if (error instanceof PermissionViolationError) resolve(`refused ${subject}`);
          },
        });
        // By then the server has answered to what was sent before.
        void as(role)
          .flush()
          .then(() => {
            subscription.unsubscribe();
            resolve(`through ${subject}`);
          });
      }),
  );
  return Promise.all(said);
}

const refused = (subjects: readonly string[]): readonly string[] =>
  subjects.map((subject) => `refused ${subject}`);

const EVENT = eventSubject('volume', 'vol-a', 'deleted');
const WRITES = [
  EVENT,
  commandSubject('n1', 'replica.delete'),
  commandSubject('n2', 'replica.delete'),
  ...Object.values(BUCKETS).map((bucket) => `$KV.${bucket}.key`),
  `$JS.API.CONSUMER.CREATE.${STREAMS.events.name}.mine.lariat.v1.event.>`,
  `$JS.API.CONSUMER.DURABLE.CREATE.${STREAMS.commands.name}.agent-n1`,
  `$JS.API.CONSUMER.CREATE.${STREAMS.spans.name}`,
  `$JS.API.DIRECT.GET.KV_${BUCKETS.volumes}`,
  '$JS.API.STREAM.CREATE.MINE',
  `$JS.API.STREAM.UPDATE.${STREAMS.events.name}`,
  `$JS.API.STREAM.PURGE.${STREAMS.audit.name}`,
  `$JS.API.STREAM.DELETE.KV_${BUCKETS.volumes}`,
  '$SYS.REQ.SERVER.PING',
];
const OTHERS_EARS = ['>', 'lariat.>', '$KV.>', '_LARIAT_INBOX.>', replySubject('i', 'n1', '*')];

describe('on a bus with permissions', () => {
  beforeAll(async () => {
    const users = makeCredentials(credentials, ROLES);
    nats = await startNats(findNatsServer(), authorizationConfig(users));
    for (const role of ROLES) connections.set(userOf(role), await connect(role));
    await ensureStreams(as(volumeSvc));
    const kvm = new Kvm(as(replicaSvc));
    for (const bucket of Object.values(BUCKETS)) await kvm.create(bucket);
  });
  afterAll(async () => {
    await Promise.all([...connections.values()].map((connection) => connection.close()));
    await nats.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('the agent of a node carries out its commands, and takes, answers and tells nothing of another node', async () => {
    const handled: unknown[] = [];
    const lane = new CommandLane({
      ...{ connection: as(n1), node: 'n1', tracer, log: silent },
      openConsumer: () => makeCommandConsumer(as(replicaSvc), 'n1'),
    });
    lane.serve('disk.list', (data) => Promise.resolve({ heard: handled.push(data) }));
    await lane.start();
    const client = new CommandClient(as(volumeSvc), newInstanceId(), tracer);
    const envelope = {
      ...{ id: 'c1', command: 'disk.list', operation: 'op-a', step: 's', fence: 1 },
      ...{ deadlineAtMs: Date.now() + 10_000, input: {} },
    } as unknown as CommandEnvelope;
    expect(await client.send('n1', envelope)).toEqual({ heard: 1 });
    await lane.stop();
    await makeCommandConsumer(as(replicaSvc), 'n2');

    const ofAnother = [
      ...[heartbeatSubject('n2'), inventorySubject('n2'), progressSubject('n2', 'op-a')],
      replySubject('i', 'n2', '1'),
      nodeRequestSubject('internal.node.register', 'n2'),
      nodeRequestSubject('internal.volume.report-engine', 'n2'),
      requestSubject('internal.node.register'),
      `$JS.API.CONSUMER.MSG.NEXT.${STREAMS.commands.name}.${commandConsumer('n2')}`,
      `$JS.API.CONSUMER.INFO.${STREAMS.commands.name}.${commandConsumer('n2')}`,
      `$JS.ACK.${STREAMS.commands.name}.${commandConsumer('n2')}.1.1.1.1.0`,
      `$JS.API.STREAM.MSG.GET.${STREAMS.commands.name}`,
      ...['volume.list', 'volume.delete', 'internal.volume.change'].map(requestSubject),
      deadLetterSubject(STREAMS.events.name),
      ...WRITES,
    ];
    expect(await saying(n1, ofAnother)).toEqual(refused(ofAnother));
    const ears = [
      ...[commandSubject('n2', '>'), commandSubject('n1', '>'), nodeFileSubject('n2', '*')],
      ...['_INBOX.>', `${inboxOf(n2)}.>`, `${inboxOf(volumeSvc)}.>`],
      ...[uploadSubject('*'), nodeRequestSubject('internal.node.register', 'n1')],
      requestSubject('volume.create'),
      ...OTHERS_EARS,
    ];
    expect(await hearing(n1, ears)).toEqual(refused(ears));
    expect(await hearing(n1, [nodeFileSubject('n1', '*')])).toEqual([
      `through ${nodeFileSubject('n1', '*')}`,
    ]);
  });

  it('an agent that asks on its own subject for another node is told so by the service', async () => {
    const discovery = new ServiceDiscovery(
      as(replicaSvc),
      { name: 'replica-svc', instance: 'i', version: '0.1.0', description: '' },
      {},
    );
    const lane = new RequestLane({
      ...{ connection: as(replicaSvc), service: 'replica-svc', discovery, tracer, log: silent },
    });
    lane.serve('internal.node.open-commands', () => Promise.resolve({}));
    await as(replicaSvc).flush();
    const agent = new LariatClient({ connection: as(n1), actor: 'node/n1', node: 'n1' });
    const ask = (node: string) => agent.request('internal.node.open-commands', { node });
    expect(await ask('n1')).toEqual({});
    await expect(ask('n2')).rejects.toMatchObject({ code: 'NODE_MISMATCH' });
    await lane.drain();
  });

  it('a user asks, reads events and serves uploads, and writes nothing behind the services', async () => {
    const api: BusRole = { kind: 'api' };
    await jetstream(as(volumeSvc)).publish(EVENT, JSON.stringify({ id: 'e1', type: 'deleted' }));
    const read: string[] = [];
    for await (const event of readEvents(as(api), { follow: false })) read.push(event.id);
    expect(read).toEqual(['e1']);
    const over = new AbortController();
    const followed = (async () => {
      for await (const { id } of readEvents(as(api), {
        follow: true,
        after: 1,
        signal: over.signal,
      }))
        return id;
      return undefined;
    })();
    await jetstream(as(volumeSvc)).publish(EVENT, JSON.stringify({ id: 'e2', type: 'deleted' }));
    expect(await followed).toBe('e2');
    over.abort();
    // Any client of NATS, as it is.
    const unanswered = as(api).request(requestSubject('volume.list'), '{}');
    await expect(unanswered).rejects.toSatisfy(
      (reason: Error) => reason.cause instanceof NoRespondersError,
    );
    const forbidden = [
      ...WRITES,
      ...['internal.volume.change', 'internal.volume.record'].map(requestSubject),
      nodeRequestSubject('internal.node.register', 'n1'),
      ...[heartbeatSubject('n1'), inventorySubject('n1'), replySubject('i', 'n1', '1')],
      ...[uploadSubject('token'), nodeFileSubject('n1', 'token'), '_LARIAT_INBOX.agent-n1.x'],
      `$JS.API.STREAM.MSG.GET.${STREAMS.commands.name}`,
      `$JS.API.STREAM.MSG.GET.KV_${BUCKETS.volumes}`,
    ];
    expect(await saying(api, forbidden)).toEqual(refused(forbidden));
    const ears = [...OTHERS_EARS, requestSubject('volume.create'), nodeFileSubject('n1', '*')];
    expect(await hearing(api, ears)).toEqual(refused(ears));
    const client = new LariatClient({ connection: as(api), actor: 'user' });
    await expect(
      client.request('internal.image.forget-node', { node: 'n1' }),
    ).rejects.toMatchObject({ code: 'NATS_FORBIDDEN' });
  });

  it('a plugin of others hears events, says what is its own, and changes nothing', async () => {
    const plugin: BusRole = { kind: 'plugin' };
    const heard: unknown[] = [];
    const lane = new EventLane({
      ...{ connection: as(plugin), service: 'watcher', tracer, log: silent },
      openConsumer: (consumer, filter) => makeEventConsumer(as(volumeSvc), consumer, filter),
    });
    lane.serve('volume.>', 'volumes', (event) => Promise.resolve(heard.push(event)));
    await lane.start();
    const event = { id: 'e3', objectId: 'vol-a', type: 'made', kind: 'volume' };
    await jetstream(as(volumeSvc)).publish(EVENT, JSON.stringify(event));
    await until('the event to be heard', 5_000, async () => (heard.length > 0 ? true : undefined));
    await lane.stop();
    expect(await saying(plugin, [pluginSubject('watcher.seen')])).toEqual([
      `through ${pluginSubject('watcher.seen')}`,
    ]);
    const forbidden = [
      ...WRITES,
      ...['volume.create', 'volume.delete', 'node.drain', 'audit.list'].map(requestSubject),
      requestSubject('internal.volume.record'),
      `$JS.API.STREAM.MSG.GET.${STREAMS.spans.name}`,
    ];
    expect(await saying(plugin, forbidden)).toEqual(refused(forbidden));
    const ears = [...OTHERS_EARS, '_INBOX.>', requestSubject('volume.create')];
    expect(await hearing(plugin, ears)).toEqual(refused(ears));
  });

  it('the CSI plugin does what Kubernetes asks of it, and no more', async () => {
    const forbidden = [
      ...WRITES,
      ...['node.remove', 'node.drain', 'disk.remove', 'cluster.recover'].map(requestSubject),
    ];
    expect(await saying({ kind: 'csi' }, forbidden)).toEqual(refused(forbidden));
    const onNode = [...forbidden, ...['volume.delete', 'volume.attach'].map(requestSubject)];
    expect(await saying({ kind: 'csi-node' }, onNode)).toEqual(refused(onNode));
    const asked = ['volume.create', 'internal.volume.set-content'].map(requestSubject);
    expect(await saying({ kind: 'csi' }, asked)).toEqual(asked.map((one) => `through ${one}`));
  });

  it('a service writes its own records and answers its own requests', async () => {
    const forbidden = [
      ...[BUCKETS.nodes, BUCKETS.allocations, BUCKETS.images].map((bucket) => `$KV.${bucket}.key`),
      ...[STREAMS.audit.name, STREAMS.events.name, `KV_${BUCKETS.volumes}`].flatMap((stream) => [
        `$JS.API.STREAM.PURGE.${stream}`,
        `$JS.API.STREAM.DELETE.${stream}`,
      ]),
      uploadSubject('token'),
    ];
    expect(await saying(volumeSvc, forbidden)).toEqual(refused(forbidden));
    const ears = ['node.remove', 'image.create'].map(requestSubject);
    expect(await hearing(volumeSvc, [...ears, '_INBOX.>'])).toEqual(refused([...ears, '_INBOX.>']));
    const kv = await new Kvm(as(volumeSvc)).open(BUCKETS.volumes);
    await kv.put('vol-a', '{}');
    expect((await kv.get('vol-a'))?.string()).toBe('{}');
  });

  it('who has no credentials, or such as nobody knows, is not let in', async () => {
    const open = (access: object) =>
      connectNats({ servers: nats.url, name: 'x', access, connectTimeoutMs: 2_000 });
    await expect(open({})).rejects.toMatchObject({
      code: 'NATS_CREDENTIALS_REFUSED',
      message: expect.stringContaining('LARIAT_NATS_CREDENTIALS') as string,
    });
    const strange = join(folder, 'strange');
    makeCredentials(strange, [{ kind: 'api' }]);
    await expect(open({ credentials: strange })).rejects.toMatchObject({
      code: 'NATS_CREDENTIALS_REFUSED',
    });
    const none = open({ credentials: join(folder, 'none.nk') });
    await expect(none).rejects.toMatchObject({ code: 'NATS_CREDENTIALS_INVALID' });
  });

  it('what is refused is in the logs, of NATS and of who was refused', async () => {
    const told: object[] = [];
    const connection = await connectNats({
      ...{ servers: nats.url, name: 'noisy', role: n1, access: { credentials } },
      log: { error: (message, fields) => void told.push({ message, ...fields }) },
    });
    connection.publish(heartbeatSubject('n2'), '{}');
    await until('it to be told', 5_000, async () => (told.length > 0 ? true : undefined));
    expect(told).toEqual([
      {
        ...{ message: 'refused by NATS', user: 'agent-n1' },
        ...{ operation: 'publish', subject: heartbeatSubject('n2') },
      },
    ]);
    expect(nats.log()).toMatch(/Publish Violation.*lariat\.v1\.heartbeat\.n2/);
    // By which the other suites know one.
    expect(
      nats
        .log()
        .split('\n')
        .filter((line) => REFUSAL.test(line))
        .join(),
    ).toContain('n2');
    await connection.close();
  });

  it('users see what is stored, wrapped, and cannot have it delivered to others', async () => {
    const manager = await jetstreamManager(as({ kind: 'api' }), { checkAPI: false });
    const message = await manager.streams.getMessage(STREAMS.events.name, { seq: 1 });
    expect(message?.json()).toMatchObject({ id: 'e1' });
    const consumer = manager.consumers.add(STREAMS.events.name, {
      ...{ name: 'mine', deliver_subject: requestSubject('volume.delete') },
    });
    await expect(consumer).rejects.toSatisfy(
      (reason) => violationOf(reason) instanceof PermissionViolationError,
    );
  });
});

const hasOpenssl = (() => {
  try {
    execFileSync('openssl', ['version']);
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!hasOpenssl)('on a bus with TLS (openssl makes its certificates)', () => {
  const files = mkdtempSync(join(tmpdir(), 'lariat-tls-'));
  const at = (name: string): string => join(files, name);
  const openssl = (...args: readonly string[]): void => {
    execFileSync('openssl', [...args], { cwd: files, stdio: 'pipe' });
  };
  const authority = (name: string): void =>
    openssl(
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-keyout', `${name}.key`, '-out', `${name}.pem`, '-days', '2', '-subj', `/CN=${name}`],
    );
  const signed = (name: string): void => {
    openssl(
      ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`],
    );
    writeFileSync(at('san'), 'subjectAltName=DNS:localhost');
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key'],
      ...['-CAcreateserial', '-days', '2', '-extfile', 'san', '-out', `${name}.pem`],
    );
  };
  let secured: TestNats;

  beforeAll(async () => {
    for (const name of ['ca', 'other']) authority(name);
    for (const name of ['server', 'client']) signed(name);
    const users = makeCredentials(at('credentials'), [{ kind: 'api' }]);
    const tls = { cert: at('server.pem'), key: at('server.key'), ca: at('ca.pem') };
    secured = await startNats(findNatsServer(), authorizationConfig(users) + tlsConfig(tls));
  });
  afterAll(async () => {
    await secured.stop();
    rmSync(files, { recursive: true, force: true });
  });

  const attempt = async (tls: object | undefined): Promise<string> => {
    try {
      const connection = await connectNats({
        // By its name: Node.js verifies no address of a server.
        ...{ servers: `tls://localhost:${new URL(secured.url).port}`, name: 'tls' },
        connectTimeoutMs: 2_000,
        access: { credentials: at('credentials'), ...(tls === undefined ? {} : { tls }) },
      });
      await connection.flush();
      await connection.close();
      return 'connected';
    } catch (reason) {
      const { code, message } = toLariatError(reason);
      return message.includes('LARIAT_NATS_TLS_CERT') ? `${code}, a certificate` : code;
    }
  };

  it('connects who knows the server and has a certificate, and nobody else', async () => {
    const own = { certFile: at('client.pem'), keyFile: at('client.key') };
    expect(await attempt({ caFile: at('ca.pem'), ...own })).toBe('connected');
    expect(await attempt({ caFile: at('other.pem'), ...own })).toBe('NATS_TLS_FAILED');
    expect(await attempt({ caFile: at('ca.pem') })).toBe('NATS_UNAVAILABLE, a certificate');
    expect(await attempt(undefined)).toBe('NATS_TLS_FAILED');
  });
});
