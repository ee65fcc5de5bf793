import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { userOf } from '@lariat/bus';
import { CLUSTER_ACTORS } from '@lariat/contracts';
import { GIB } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readClusterFile, writeJsonFile } from './cluster-file.js';
import { LineSplitter } from './control.js';
import { lockDataDir, lockOwner } from './data-dir-lock.js';
import { defaultLaunchPlan, resolvePlugin } from './launch-plan.js';
import { natsConfig, parsePortsFile, portOf } from './nats-launch.js';
import { clusterPaths, defaultDataDir } from './paths.js';
import { makeBusFolder } from '../commands/credentials.js';
import { planNodes } from './start-cluster.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lariat-parts-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the nodes of a cluster', () => {
  const size = { diskSizeBytes: GIB };
  it('are n1 to n3 at first', () => {
    expect(planNodes(undefined, undefined, GIB).map(({ name }) => name)).toEqual([
      'n1',
      'n2',
      'n3',
    ]);
  });
  it('are those of the last time, with new ones where more are wanted', () => {
    const config = { version: 1, nodes: [{ name: 'n2', ...size }] } as const;
    expect(planNodes(config, undefined, 2 * GIB)).toEqual([{ name: 'n2', ...size }]);
    expect(planNodes(config, 3, 2 * GIB)).toEqual([
      { name: 'n2', ...size },
      { name: 'n1', diskSizeBytes: 2 * GIB },
      { name: 'n3', diskSizeBytes: 2 * GIB },
    ]);
  });
});

describe('the lock of a data folder', () => {
  it('is refused to a second one and free after the first', () => {
    const path = join(folder, 'lock');
    const unlock = lockDataDir(path);
    expect(lockOwner(path)?.pid).toBe(process.pid);
    expect(() => lockDataDir(path)).toThrow(/runs in .* already/);
    unlock();
    lockDataDir(path)();
  });
  it('of a dead process is taken over', () => {
    const path = join(folder, 'lock');
    writeFileSync(path, JSON.stringify({ pid: process.pid, startTime: '1' }));
    expect(lockOwner(path)).toBeUndefined();
    const unlock = lockDataDir(path);
    expect(lockOwner(path)?.pid).toBe(process.pid);
    unlock();
  });
});

describe('records on disk', () => {
  it('of another version, or cut, are refused by name', () => {
    const path = join(folder, 'cluster.json');
    expect(readClusterFile(path)).toBeUndefined();
    writeJsonFile(path, { version: 2 });
    expect(() => readClusterFile(path)).toThrow(path);
    writeFileSync(path, '{"version":1');
    expect(() => readClusterFile(path)).toThrow(/is not JSON/);
  });
});

describe('lines of the control socket', () => {
  it('come out whole, wherever the stream is cut', () => {
    const text = '{"command":"list"}\n{"command":"kill"}\n';
    for (let cut = 0; cut <= text.length; cut += 1) {
      const lines = new LineSplitter();
      const found = [...lines.push(text.slice(0, cut)), ...lines.push(text.slice(cut))];
      expect(found).toEqual(['{"command":"list"}', '{"command":"kill"}']);
    }
  });
});

const nats = { folder: '/data/nats', address: '127.0.0.1', port: -1, users: [] };

describe('the launch plan', () => {
  const options = {
    paths: clusterPaths('/data'),
    natsServer: '/bin/nats-server',
    plugins: ['/mine/plugin.mjs'],
    target: 'soft',
    spdkBin: undefined,
    env: {},
  } as const;
  it('runs all plugins in one process, or each in its own', () => {
    const together = defaultLaunchPlan({ ...options, split: false }).plugins('nats://x');
    expect(together.map(({ name }) => name)).toEqual(['services']);
    expect(together[0]?.args.filter((word) => word === '--plugin')).toHaveLength(4);
    const apart = defaultLaunchPlan({ ...options, split: true }).plugins('nats://x');
    expect(apart.map(({ name }) => name)).toEqual([
      'volume-svc',
      'replica-svc',
      'backing-image-svc',
      'plugin-plugin-mjs',
    ]);
    expect(apart.map(({ name }) => name).slice(0, -1)).toEqual([...CLUSTER_ACTORS]);
  });
  it('gives a second copy of a plugin, and a plugin of the same file name, a name of its own', () => {
    const plugins = ['@lariat/volume-svc', '/mine/echo.mjs', '/other/echo.mjs'];
    const apart = defaultLaunchPlan({ ...options, plugins, split: true }).plugins('nats://x');
    expect(apart.map(({ name }) => name).slice(3)).toEqual([
      'volume-svc-2',
      'plugin-echo-mjs',
      'plugin-echo-mjs-2',
    ]);
    expect(new Set(apart.map(({ logPath }) => logPath)).size).toBe(apart.length);
  });
  it('gives an agent its own folder, a free port and its disk', () => {
    const agent = defaultLaunchPlan({ ...options, split: false }).agent('nats://x', {
      name: 'n1',
      diskSizeBytes: GIB,
    });
    expect(agent.args.join(' ')).toContain(
      `--node n1 --nats nats://x --data /data/nodes/n1 --device-dir /data/nodes/n1/dev --traddr 127.0.0.1 --trsvcid 0 --disk d1=${GIB}`,
    );
  });
  it('has NATS and targets listen where other machines reach them, if told so', () => {
    const plan = defaultLaunchPlan({ ...options, address: '10.0.0.1', split: false });
    const agent = plan.agent('nats://x', { name: 'n1', diskSizeBytes: GIB });
    expect(agent.args.join(' ')).toContain('--traddr 10.0.0.1 ');
    expect(natsConfig({ ...nats, address: '10.0.0.1' })).toContain('host: "10.0.0.1"');
  });
  it('takes a plugin by path or by package name', () => {
    writeFileSync(join(folder, 'mine.mjs'), '');
    expect(resolvePlugin('mine.mjs', folder)).toBe(join(folder, 'mine.mjs'));
    expect(resolvePlugin('./gone.mjs', folder)).toBe(join(folder, 'gone.mjs'));
    expect(resolvePlugin('@some/plugin', folder)).toBe('@some/plugin');
  });
});

describe('NATS', () => {
  it('listens where it is told and keeps its store in the folder', () => {
    const config = natsConfig(nats);
    expect(config).toContain('host: "127.0.0.1"');
    expect(config).toContain('port: -1');
    expect(config).toContain('store_dir: "/data/nats/jetstream"');
  });
  it('tells its URL in a ports file', () => {
    expect(parsePortsFile('{"nats":["nats://127.0.0.1:4567"]}')).toBe('nats://127.0.0.1:4567');
    expect(parsePortsFile('{"monitoring":[]}')).toBeUndefined();
    expect(portOf('nats://127.0.0.1:4567')).toBe(4567);
  });
});

describe('a folder of credentials for other clusters', () => {
  const users = (nodes: Parameters<typeof makeBusFolder>[1]) =>
    makeBusFolder(folder, nodes, undefined).map(({ role }) => userOf(role));
  it('keeps the nodes of before, and has the public keys of who is let in', () => {
    users({ admit: ['n1', 'n2'], drop: [] });
    expect(
      users({ admit: ['n3'], drop: ['n1'] }).filter((user) => user.startsWith('agent-')),
    ).toEqual(['agent-n2', 'agent-n3']);
    const config = readFileSync(join(folder, 'bus.conf'), 'utf8');
    expect(config).toContain('# agent-n3\n');
    expect(config).not.toContain('# agent-n1\n');
    expect(config).not.toContain(readFileSync(join(folder, 'api.nk'), 'utf8'));
  });
  it('takes no names that are none', () => {
    expect(() => users({ admit: ['../n1'], drop: [] })).toThrow(/not a node name/);
  });
  it('has the server ask for certificates where it is given them', () => {
    makeBusFolder(
      folder,
      { admit: [], drop: [] },
      { cert: '/a.pem', key: '/a.key', ca: '/ca.pem' },
    );
    expect(readFileSync(join(folder, 'bus.conf'), 'utf8')).toMatch(
      /ca_file: "\/ca.pem"\n {2}verify: true/,
    );
  });
});

describe('paths', () => {
  it('of the data folder come from LARIAT_DATA when it is set', () => {
    expect(defaultDataDir({ LARIAT_DATA: '/elsewhere' })).toBe('/elsewhere');
    expect(defaultDataDir({ LARIAT_DATA: '' })).toMatch(/\.lariat\/cluster$/);
  });
  it('of the control socket stay within what the system allows', () => {
    expect(clusterPaths('/data').controlSocket).toBe('/data/supervisor.sock');
    const deep = clusterPaths(`/${'d'.repeat(120)}`).controlSocket;
    expect(deep.startsWith('\0')).toBe(true);
    expect(deep).not.toBe(clusterPaths(`/${'e'.repeat(120)}`).controlSocket);
  });
});
