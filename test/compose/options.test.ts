import { randomBytes } from 'node:crypto';
import { cp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { CHECKOUT } from '@lariat/cli';
import { MIB, newUuid } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../debian/programs.js';
import { csiCaller } from '../e2e/csi-calls.js';
import { openStack, theEngine, whyNoEngine } from './shared-stack.js';
import { compose, NODES, PLAIN, PROJECT, type Setting, Stack } from './stack.js';

const missing = whyNoEngine();
const SIZE_BYTES = 8 * MIB;
/** Other containers end, these are made, and each stream is put on three servers; on a machine that does much else. */
const STARTED_MS = 600_000;
const NATS_SERVERS = ['nats', 'nats-2', 'nats-3'];
/** In the order of the README. */
const FILES = [
  ...['docker-compose.yml', 'docker-compose.nats-cluster.yml', 'docker-compose.credentials.yml'],
  'docker-compose.nats-cluster-credentials.yml',
];
/** What the README gives to root, and to the services' user. */
const GIVE_AWAY = `
chown root credentials/agent-*.nk credentials/csi.nk
chown 10001 credentials/*-svc.nk credentials/api.nk
`;

describe.skipIf(missing !== undefined)(
  `three NATS servers that ask for credentials, with Redis and CSI (${missing ?? 'an engine is here'})`,
  () => {
    let setting: Setting;
    let stack: Stack;
    beforeAll(async () => {
      const others = await openStack();
      await others.compose('down', '--volumes');
      await others.close();
      // docker-compose names the project by it.
      const folder = join(theEngine().folder, 'options', PROJECT);
      await cp(PLAIN.folder, folder, { recursive: true });
      const nodes = NODES.flatMap((node) => ['--node', node]);
      const credentials = join(folder, 'credentials');
      await rm(credentials, { recursive: true, force: true });
      await run(join(CHECKOUT, 'lariat'), ['credentials', credentials, ...nodes]);
      await run('sh', ['-e', '-c', GIVE_AWAY], { cwd: folder });
      setting = {
        ...{ folder, credentials },
        options: [
          ...FILES.flatMap((file) => ['--file', file]),
          ...['--profile', 'redis', '--profile', 'csi'],
        ],
        variables: { LARIAT_REDIS_URL: 'redis://redis:6379' },
      };
      await compose(theEngine(), setting, 'up', '--detach');
      stack = await Stack.open(theEngine(), setting);
      await stack.ready();
    }, STARTED_MS);
    afterAll(async () => {
      await stack?.close();
      // The next file has containers of its own.
      if (setting !== undefined) await compose(theEngine(), setting, 'down', '--volumes');
    });

    it('let in nobody without credentials', async () => {
      expect(await saidToNobody(stack.connection.getServer())).toContain('Authorization Violation');
      const printed = await stack.compose('run', '--rm', 'lariat', 'node', 'list', '--json');
      const { nodes } = JSON.parse(printed) as { nodes: { name: string }[] };
      expect(nodes.map(({ name }) => name).toSorted()).toEqual([...NODES]);
    });

    it('give on one node what was written on another', async () => {
      const data = randomBytes(SIZE_BYTES);
      await stack.request('volume.create', { name: 'db', sizeBytes: SIZE_BYTES, replicas: 3 });
      await stack.request('volume.attach', { volume: 'db', node: 'node-1', frontend: 'nbd' });
      const writer = await stack.device('db');
      await writer.writeAll(0, data);
      await writer.flush();
      await writer.close();
      await stack.request('volume.detach', { volume: 'db' });
      await stack.request('volume.attach', { volume: 'db', node: 'node-2', frontend: 'nbd' });
      const reader = await stack.device('db');
      expect((await reader.read(0, SIZE_BYTES)).equals(data)).toBe(true);
      await reader.close();
      await stack.request('volume.detach', { volume: 'db' });
      const sums = await stack.request('replica.checksum', { volume: 'db' });
      expect(sums).toMatchObject({ identical: true });
    });

    it('have each stream on all of them, and go on when one is killed', async () => {
      const info = await stack.connection.request('$JS.API.STREAM.INFO.LARIAT_EVENTS');
      const { config, cluster } = info.json<StreamInfo>();
      expect(config.num_replicas).toBe(NATS_SERVERS.length);
      const servers = [cluster.leader, ...cluster.replicas.map(({ name }) => name)];
      expect(servers.toSorted()).toEqual(NATS_SERVERS);
      await stack.request('volume.create', { name: 'more', sizeBytes: SIZE_BYTES, replicas: 3 });
      await stack.docker('kill', stack.container('nats-2'));
      const requestId = newUuid();
      // Nothing is decided until leaders are elected: asked again under the same key, as any caller does.
      const deletion = await stack.eventually('the deletion to be begun', () =>
        stack.begin('volume.delete', { volume: 'more' }, requestId),
      );
      await stack.succeeds(deletion);
      await stack.docker('start', stack.container('nats-2'));
      await stack.ready();
    });

    it('answer lists from Redis', async () => {
      // What Redis has not heard of yet is answered from memory.
      const { volumes, numbers } = await stack.eventually('a list from Redis', async () => {
        const answer = await stack.request('volume.list', {});
        const stats = await stack.connection.request('$SRV.STATS.volume-svc');
        const { lists } = stats.json<ServiceStats>();
        return lists.volumes.shared > 0 ? { ...answer, numbers: lists.volumes } : undefined;
      });
      expect(volumes.map(({ name }) => name)).toEqual(['db']);
      expect(numbers).toMatchObject({ adapter: 'redis' });
      const redis = ['exec', stack.container('redis'), 'redis-cli'];
      expect(Number(await stack.docker(...redis, 'DBSIZE'))).toBeGreaterThan(0);
    });

    it('have a controller of CSI that makes and deletes volumes', async () => {
      const csi = csiCaller(join(theEngine().folder, 'csi', 'csi.sock'));
      const writer = { accessMode: { mode: 'SINGLE_NODE_WRITER' }, block: {} };
      const made = await csi.call('Controller', 'CreateVolume', {
        ...{ name: 'pvc-1', capacityRange: { requiredBytes: String(SIZE_BYTES) } },
        volumeCapabilities: [writer],
      });
      expect(made).toMatchObject({ code: 0, answer: { volume: { volumeId: expect.any(String) } } });
      const { volumeId } = made.answer['volume'] as { volumeId: string };
      const listed = await csi.call('Controller', 'ListVolumes', {});
      const entries = listed.answer['entries'] as { volume: { volumeId: string } }[];
      expect(entries.map(({ volume }) => volume.volumeId)).toContain(volumeId);
      expect(await csi.call('Controller', 'DeleteVolume', { volumeId })).toMatchObject({ code: 0 });
      csi.close();
    });

    it('leave nothing when the volume is deleted', async () => {
      await stack.succeeds(await stack.begin('volume.delete', { volume: 'db' }));
      expect(await stack.leftovers()).toEqual([]);
    });
  },
);

/** All that a server says to somebody who does not say who he is. */
async function saidToNobody(server: string): Promise<string> {
  const { hostname, port } = new URL(`nats://${server}`);
  const socket = connect(Number(port), hostname);
  socket.write('CONNECT {"verbose":false}\r\nPING\r\n');
  return text(socket);
}

interface StreamInfo {
  readonly config: { readonly num_replicas: number };
  readonly cluster: {
    readonly leader: string;
    readonly replicas: readonly { readonly name: string }[];
  };
}

interface ServiceStats {
  readonly lists: { readonly volumes: { readonly adapter: string; readonly shared: number } };
}
