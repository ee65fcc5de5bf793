import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { open, writeFile, type FileHandle } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { MIB } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import type { TargetKind } from './target-kind.js';
import { Hopeless, waitUntil } from './wait-until.js';

const READY_TIMEOUT_MS = 30_000;
const DISK_BYTES = 96 * MIB;

/** A target process with one file as its disk and one port to export on. */
export class TargetProcess {
  spdk: Spdk;
  private client: SpdkClient;

  private constructor(
    private readonly kind: TargetKind,
    private readonly folder: string,
    private readonly index: number,
    readonly port: string,
    private child: ChildProcess,
    client: SpdkClient,
  ) {
    this.client = client;
    this.spdk = new Spdk(client);
  }

  static async start(
    kind: TargetKind,
    folder: string,
    index: number,
    diskBytes: number = DISK_BYTES,
  ): Promise<TargetProcess> {
    const disk = await open(join(folder, `disk-${index}`), 'w');
    await disk.truncate(diskBytes);
    await disk.close();
    const running = await launch(kind, folder, index);
    const target = new TargetProcess(
      kind,
      folder,
      index,
      await freePort(),
      running.child,
      running.client,
    );
    await target.prepare();
    return target;
  }

  get diskPath(): string {
    return join(this.folder, `disk-${this.index}`);
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`${this.kind.name} was never started`);
    return this.child.pid;
  }

  get logPath(): string {
    return logPathIn(this.folder, this.index);
  }

  /** Where the target serves JSON-RPC. */
  get rpcSocket(): string {
    return rpcSocketPath(this.folder, this.index);
  }

  /** Name of the store that `makeStore` makes. */
  get storeName(): string {
    return `store-${this.index}`;
  }

  get rpc(): SpdkClient {
    return this.client;
  }

  /** Leaves random bytes on the disk, but for its ends: a target may refuse a disk that looks like someone's. */
  async soilDisk(): Promise<void> {
    const content = randomBytes(DISK_BYTES)
      .fill(0, 0, MIB)
      .fill(0, DISK_BYTES - MIB);
    await writeFile(this.diskPath, content, { flush: true });
  }

  /** Opens the disk file, and gives it a store. */
  async makeStore(clusterSizeBytes: number = MIB): Promise<void> {
    await this.openDisk();
    await this.spdk.lvol.createLvstore({
      bdevName: 'disk',
      lvsName: this.storeName,
      clusterSizeBytes,
      clearMethod: 'write_zeroes',
    });
  }

  /** Opens the disk file; what store there is on it comes up. */
  async openDisk(): Promise<void> {
    await this.spdk.bdev.aioCreate({ name: 'disk', filename: this.diskPath, blockSizeBytes: 4096 });
    await this.spdk.bdev.waitForExamine();
  }

  async createLvol(lvolName: string, sizeMib: number): Promise<string> {
    return this.spdk.lvol.create({
      store: { lvsName: this.storeName },
      lvolName,
      sizeMib,
      thinProvision: true,
      clearMethod: 'write_zeroes',
    });
  }

  /** Exports a bdev under `nqn` to one host. */
  async exportBdev(nqn: string, bdevName: string, hostNqn: string): Promise<void> {
    await this.spdk.nvmf.createSubsystem({ nqn, serialNumber: 'LARIAT', modelNumber: 'Contract' });
    await this.spdk.nvmf.addHost(nqn, hostNqn);
    await this.spdk.nvmf.addNs(nqn, { bdevName });
    await this.spdk.nvmf.addListener(nqn, { traddr: '127.0.0.1', trsvcid: this.port });
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
    await this.client.closed;
  }

  /** A new process at the same places; the disk is not opened yet. */
  async restart(): Promise<void> {
    const running = await launch(this.kind, this.folder, this.index);
    this.child = running.child;
    this.client = running.client;
    this.spdk = new Spdk(running.client);
    await this.prepare();
  }

  /** Exit code of an orderly stop. */
  async stop(): Promise<number | null> {
    this.client.close();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exited;
    return this.child.exitCode;
  }

  private async prepare(): Promise<void> {
    await this.spdk.nvme.setOptions({
      ctrlrLossTimeoutSeconds: 5,
      reconnectDelaySeconds: 1,
      fastIoFailTimeoutSeconds: 2,
      keepAliveTimeoutMs: 5_000,
    });
    await this.spdk.nvmf.createTransport({ maxIoSizeBytes: MIB });
  }
}

function logPathIn(folder: string, index: number): string {
  return join(folder, `target-${index}.log`);
}

function rpcSocketPath(folder: string, index: number): string {
  return join(folder, `rpc-${index}.sock`);
}

async function launch(
  kind: TargetKind,
  folder: string,
  index: number,
): Promise<{ child: ChildProcess; client: SpdkClient }> {
  const rpcSocket = rpcSocketPath(folder, index);
  const [command, ...args] = kind.command({
    rpcSocket,
    stateDir: join(folder, `state-${index}`),
    index,
  });
  const log: FileHandle = await open(logPathIn(folder, index), 'a');
  const child = spawn(command, args, { stdio: ['ignore', log.fd, log.fd] });
  await log.close();
  kind.started?.(child.pid);
  let exit: string | undefined;
  child.once('exit', (code, signal) => (exit = `${kind.name} ended with ${code ?? signal}`));
  const client = await waitUntil(
    `${kind.name} to serve ${rpcSocket}`,
    READY_TIMEOUT_MS,
    async () => {
      if (exit !== undefined) throw new Hopeless(`${exit}; see ${folder}/target-${index}.log`);
      const connected = await SpdkClient.connect({ socketPath: rpcSocket });
      await new Spdk(connected).app.waitInit();
      return connected;
    },
  );
  return { child, client };
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return String(address.port);
}
