import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { delay } from '@lariat/kernel';

export interface TestNats {
  readonly url: string;
  /** What it has logged. */
  log(): string;
  /** SIGKILL and start again on the same port and store. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const START_DEADLINE_MS = 10_000;

/** `$LARIAT_NATS_SERVER`, else PATH, else what the launcher has fetched; undefined when there is none. */
export function findNatsBinary(checkout: string): string | undefined {
  const named = process.env.LARIAT_NATS_SERVER;
  const onPath = (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'nats-server'));
  const candidates = [named, ...onPath, join(checkout, '.lariat', 'bin', 'nats-server')];
  return candidates.find((path) => path !== undefined && path !== '' && existsSync(path));
}

/**
 * A real nats-server with JetStream in a folder of its own, on a port that it chose itself. `config`: more of its
 * configuration; default none, and it takes anybody.
 */
export async function startNats(binary: string, config = ''): Promise<TestNats> {
  const folder = mkdtempSync(join(tmpdir(), 'lariat-nats-'));
  const portsFile = (): string | undefined =>
    readdirSync(folder).find((name) => name.endsWith('.ports'));
  const readUrl = (): string | undefined => {
    const name = portsFile();
    // The file is there before its content is.
    const content = name === undefined ? '' : readFileSync(join(folder, name), 'utf8');
    if (!content.trimEnd().endsWith('}')) return undefined;
    return (JSON.parse(content) as { readonly nats: readonly string[] }).nats[0];
  };
  const [configFile, logFile] = [join(folder, 'nats.conf'), join(folder, 'nats.log')];
  writeFileSync(configFile, config);
  let child: ChildProcess;
  const launch = async (port: string): Promise<string> => {
    const args = [
      ...['-c', configFile, '-l', logFile],
      '-js',
      '-sd',
      join(folder, 'js'),
      '-a',
      '127.0.0.1',
      '-p',
      port,
      '--ports_file_dir',
      folder,
    ];
    child = spawn(binary, args, { stdio: 'ignore' });
    const deadline = performance.now() + START_DEADLINE_MS;
    for (;;) {
      const url = readUrl();
      if (url !== undefined) return url;
      if (performance.now() > deadline) throw new Error(`${binary} did not start`);
      await delay(20);
    }
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
    const ports = portsFile();
    if (ports !== undefined) rmSync(join(folder, ports));
  };
  const url = await launch('-1');
  return {
    url,
    log: () => readFileSync(logFile, 'utf8'),
    restart: async () => {
      await end('SIGKILL');
      await launch(new URL(url).port);
    },
    stop: async () => {
      await end('SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The configurations of servers that make one cluster when all are started. */
export async function natsClusterConfigs(servers: number): Promise<readonly string[]> {
  const ports = await freePorts(servers);
  const routes = ports.map((port) => `nats-route://127.0.0.1:${port}`).join(', ');
  return ports.map(
    (port, at) =>
      `server_name: s${at}\ncluster { name: c, listen: "127.0.0.1:${port}", routes: [${routes}] }\n`,
  );
}

/** Held all at once, so that no two are the same. */
async function freePorts(count: number): Promise<readonly number[]> {
  const listening = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(listening.map((server) => once(server, 'listening')));
  const ports = listening.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(listening.map((server) => once(server.close(), 'close')));
  return ports;
}
