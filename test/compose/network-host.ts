import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findTargetSocket, programFile } from '@lariat/cli';
import type { VolumeView } from '@lariat/contracts';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { Hopeless, waitUntil } from '../contract/support/wait-until.js';
import { parseEndpoint } from '../vm/nvme-connection.js';
import type { EngineAccess } from './engine-access.js';

const START_TIMEOUT_MS = 60_000;
const NBD = programFile('apps', 'node-agent', 'dist', 'nbd', 'main.js');

/**
 * A host that uses a volume over the containers' network, as one of the kernel does: it waits for an engine that is away,
 * and finds it again. What it uses is had on an NBD socket.
 */
export class NetworkHost {
  private constructor(
    readonly uri: string,
    private readonly child: ChildProcess,
  ) {}

  static async connect(
    { pid, folder }: EngineAccess,
    volume: string,
    { node, endpoint, hostNqns }: NonNullable<VolumeView['attachment']>,
  ): Promise<NetworkHost> {
    const { address: traddr, port, nqn } = parseEndpoint(endpoint ?? '');
    const uuid = await namespaceOf(join(folder, node), nqn);
    const socket = join(folder, `host-${volume}.sock`);
    rmSync(socket, { force: true });
    const options = {
      volume,
      endpoint: { traddr, trsvcid: String(port), nqn, uuid },
      hostNqn: hostNqns?.[0] ?? '',
      discard: false,
    };
    const child = spawn(
      'setpriv',
      [
        ...['--pdeathsig', 'KILL', 'nsenter', `--net=/proc/${pid}/ns/net`],
        ...[process.execPath, NBD, '--socket', socket, '--options', JSON.stringify(options)],
      ],
      { stdio: ['ignore', 'inherit', 'inherit'] },
    );
    const host = new NetworkHost(`nbd+unix:///${volume}?socket=${socket}`, child);
    await waitUntil('the host to serve', START_TIMEOUT_MS, () => {
      if (child.exitCode !== null) throw new Hopeless('it has ended');
      return Promise.resolve(existsSync(socket));
    });
    return host;
  }

  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill();
    await exited;
  }
}

/** A host of the kernel takes whatever namespace the subsystem has; this one is told which. */
async function namespaceOf(nodeFolder: string, nqn: string): Promise<string> {
  const socketPath = await findTargetSocket(nodeFolder);
  const client = await SpdkClient.connect({ socketPath: socketPath ?? '' });
  const subsystems = await new Spdk(client).nvmf.getSubsystems();
  client.close();
  const uuid = subsystems.find((subsystem) => subsystem.nqn === nqn)?.namespaces[0]?.uuid;
  if (uuid === undefined) throw new Error(`the target has no namespace at ${nqn}`);
  return uuid;
}
