import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB, newVolumeId } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e } from '../e2e/e2e-cluster.js';
import { has } from './fio.js';
import { quantile } from './quantiles.js';

const SIZE_MIB = 512;
/** So large that the holes of the sparse one are not summed (docs/adr/0018). */
const QCOW2_MIB = 1024;
/** One beside the other, since other work on the machine weighs on both. */
const RUNS = 3;
const TIMEOUT_MS = 300_000;

const msOf = async (work: () => Promise<unknown>): Promise<number> => {
  const began = performance.now();
  await work();
  return performance.now() - began;
};

/** Random bytes in every `every`th cluster, zeros in the others. */
function writeImage(path: string, sizeMib: number, every: number): void {
  const file = openSync(path, 'w');
  for (let at = 0; at < sizeMib; at += 1)
    writeSync(file, at % every === 0 ? randomBytes(MIB) : Buffer.alloc(MIB));
  closeSync(file);
}

function writeQcow2(path: string, sizeMib: number, every: number): void {
  const raw = `${path}.raw`;
  writeImage(raw, sizeMib, every);
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, path]);
  rmSync(raw);
}

describe('the import of an image', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lariat-image-bench-'));
  const full = join(folder, 'full.img');
  const sparse = join(folder, 'sparse.img');
  let e2e: E2eCluster;
  let fullMs = 0;

  beforeAll(async () => {
    writeImage(full, SIZE_MIB, 1);
    writeImage(sparse, SIZE_MIB, 10);
    e2e = await startE2e({
      ...{ split: true, diskSizeBytes: 8 * QCOW2_MIB * MIB },
      env: { ...process.env, LARIAT_IMAGE_SCRATCH: folder, LARIAT_IMAGE_ALLOW: '127.0.0.1' },
    });
  });
  afterAll(async () => {
    await e2e.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const rate = (ms: number, sizeMib = SIZE_MIB): string =>
    `${Math.round((sizeMib * 1000) / ms)} MiB/s`;
  const importFile = (name: string, path: string): Promise<number> =>
    msOf(() =>
      e2e.client.request(
        'image.create',
        { name, source: { file: { path } }, minimumCopies: 1 },
        { timeoutMs: TIMEOUT_MS },
      ),
    );

  it('takes a local file at 0.6 of the speed of one sha512sum, or faster', async () => {
    const speeds: number[] = [];
    for (let run = 1; run <= RUNS; run += 1) {
      const hashMs = await msOf(() =>
        Promise.resolve(execFileSync('sh', ['-c', `cat ${full} | sha512sum`])),
      );
      fullMs = await importFile(`full-${run}`, full);
      speeds.push(hashMs / fullMs);
      say(
        `sha512sum ${rate(hashMs)}, import ${rate(fullMs)}, of it: ${(hashMs / fullMs).toFixed(2)}`,
      );
    }
    expect(quantile(speeds, 0.5)).toBeGreaterThan(0.6);
  });

  it('takes a raw file that is zeros to nine tenths no slower', async () => {
    // Its SHA-512 runs over the zeros too: that alone is 0.6 of the time that a full one may take.
    const sparseMs = await importFile('sparse', sparse);
    say(`sparse ${rate(sparseMs)}, ${(fullMs / sparseMs).toFixed(1)} times as fast`);
    expect(fullMs / sparseMs).toBeGreaterThan(1);
  });

  it.skipIf(!has('qemu-img'))(
    'takes a qcow2 that is zeros to nine tenths at least four times as fast as a full one (needs qemu-img)',
    async () => {
      const took = async (name: string, every: number): Promise<number> => {
        const path = join(folder, `${name}.qcow2`);
        writeQcow2(path, QCOW2_MIB, every);
        const ms = await importFile(name, path);
        rmSync(path);
        say(`${name} ${rate(ms, QCOW2_MIB)}`);
        return ms;
      };
      const times = (await took('full-qcow2', 1)) / (await took('sparse-qcow2', 10));
      say(`a sparse qcow2 is imported ${times.toFixed(1)} times as fast`);
      expect(times).toBeGreaterThan(4);
    },
  );

  it('reads the source once, however many nodes get a copy', async () => {
    let requests = 0;
    const server = createServer((_request, response) => {
      requests += 1;
      const body = readFileSync(sparse);
      response.writeHead(200, { 'content-length': body.length }).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/image`;
    const image = await e2e.client.request(
      'image.create',
      { name: 'fetched', source: { url }, minimumCopies: 1 },
      { timeoutMs: TIMEOUT_MS },
    );
    const { disks } = await e2e.client.request('disk.list', {});
    const spreadMs = await msOf(() =>
      e2e.client.request(
        'internal.image.ensure-copies',
        {
          ...{ image: image.id, volume: newVolumeId() },
          disks: disks.map(({ node, id }) => ({ node, disk: id })),
        },
        { timeoutMs: TIMEOUT_MS },
      ),
    );
    say(`spread to two more nodes in ${Math.round(spreadMs)} ms`);
    server.close();
    expect(requests).toBe(1);
  });

  it('keeps the memory of the service below 200 MiB', () => {
    const pid = e2e.cluster.processes().find(({ name }) => name === 'backing-image-svc')?.pid;
    const status = readFileSync(`/proc/${pid ?? 'self'}/status`, 'utf8');
    const peakMib = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
    say(`peak resident memory ${Math.round(peakMib)} MiB`);
    expect(peakMib).toBeGreaterThan(0);
    expect(peakMib).toBeLessThan(200);
  });
});
