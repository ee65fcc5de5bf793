import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programFile } from '@lariat/cli';
import type { NodeView } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, processesOf, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;
const BOUND_MS = 60_000;
const main = (app: string): string => programFile('apps', app, 'dist', 'main.js');

describe('a node whose target others start', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lariat-others-'));
  const socketPath = join(folder, 'others.sock');
  let e2e: E2eCluster;
  let agent: ChildProcess;
  let target: ChildProcess;

  const start = (name: string, args: readonly string[]): ChildProcess => {
    const log = openSync(join(folder, `${name}.log`), 'a');
    return spawn(process.execPath, args, { stdio: ['ignore', log, log] });
  };
  const startTarget = (): ChildProcess =>
    start('target', [
      ...[main('soft-target'), '--rpc-socket', socketPath],
      ...['--state-dir', join(folder, 'state')],
    ]);
  const ended = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  };
  const node = (): Promise<NodeView> => e2e.client.request('node.get', { node: 'x1' });
  const nodeThatIs = (wanted: (seen: NodeView) => boolean): Promise<NodeView> =>
    until('the node to be judged', BOUND_MS, async () => {
      const seen = await node().catch(() => undefined);
      return seen !== undefined && wanted(seen) ? seen : undefined;
    });

  beforeAll(async () => {
    e2e = await startE2e({ nodes: 1 });
    await e2e.cluster.admitNode('x1');
    agent = start('agent', [
      ...[main('node-agent'), '--node', 'x1', '--nats', e2e.cluster.natsUrl],
      ...['--data', join(folder, 'agent'), '--disk', 'd1=256MiB'],
      ...['--target', 'external', '--target-socket', socketPath],
    ]);
  }, 60_000);
  afterAll(async () => {
    await ended(agent, 'SIGTERM');
    await ended(target, 'SIGTERM');
    await e2e.stop();
    const left = processesOf(folder);
    if (left.length > 0) throw new Error(`processes are left: ${left.join('; ')}`);
    rmSync(folder, { recursive: true, force: true });
  });

  it('is there before its target is, and says what it lacks', async () => {
    const { reason, disks } = await nodeThatIs(({ state }) => state === 'suspect');
    expect(reason).toContain(`no target answers on ${socketPath}`);
    expect(disks).toEqual([]);
    expect(existsSync(socketPath)).toBe(false);
    target = startTarget();
    const ready = await nodeThatIs(
      ({ state, disks: found }) => state === 'ready' && found.length > 0,
    );
    expect(ready.target).toContain('soft-target');
  }, 120_000);

  it('does not start it, and has all of it again when others have: what was being written waits', async () => {
    const { client } = e2e;
    await client.request('node.cordon', { node: 'n1' });
    await client.request('volume.create', { name: 'v', sizeBytes: SIZE_BYTES, replicas: 1 });
    await client.request('volume.attach', { volume: 'v', node: 'x1', frontend: 'nbd' });
    const device = await e2e.open('v');
    const data = randomBytes(SIZE_BYTES);
    await device.writeAll(0, data.subarray(0, SIZE_BYTES / 2));
    await ended(target, 'SIGKILL');
    const rest = device.writeAll(SIZE_BYTES / 2, data.subarray(SIZE_BYTES / 2));
    const { reason } = await nodeThatIs(({ state }) => state === 'suspect');
    expect(reason).toContain('its target does not answer');
    expect(processesOf(socketPath).filter((one) => one.includes('soft-target'))).toEqual([]);
    target = startTarget();
    await rest;
    expect((await device.read(0, SIZE_BYTES)).equals(data)).toBe(true);
    await device.close();
    await nodeThatIs(({ state }) => state === 'ready');
  }, 120_000);

  it('leaves it running when its agent stops', async () => {
    await e2e.client.request('volume.detach', { volume: 'v' });
    await e2e.client.request('volume.delete', { volume: 'v' });
    await ended(agent, 'SIGTERM');
    expect({ agent: agent.exitCode, target: target.exitCode }).toEqual({ agent: 0, target: null });
  }, 60_000);
});
