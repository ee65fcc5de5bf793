import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { accountingErrors, makeTestFolder, startBdevStack } from '../stack-fixture.js';
import { BLOCK_SIZE, LVOL_BLOCKS, LVOLS, sequenceOf, type Ack } from './crash-blocks.js';

const WRITER = fileURLToPath(new URL('../../../dist/bdev/lvol/crash-writer.js', import.meta.url));
const ROUNDS = 6;
const DISK_SIZE = 48 * 1024 * 1024;

/** What each block may read as: its last acknowledged write, or one begun later. */
class Expectations {
  private readonly allowed = new Map<string, Set<number>>();
  lastSequence = 0;

  take(ack: Ack): void {
    this.lastSequence = Math.max(this.lastSequence, ack.sequence);
    const value = ack.isZero ? 0 : ack.sequence;
    for (let at = 0; at < ack.count; at += 1) {
      const key = `${ack.lvol}/${ack.block + at}`;
      if (ack.kind === 'acknowledged') this.allowed.set(key, new Set([value]));
      else this.allowed.set(key, this.of(key).add(value));
    }
  }

  of(key: string): Set<number> {
    return this.allowed.get(key) ?? new Set([0]);
  }

  /** A write that was cut off is settled by what was found. */
  settle(key: string, found: number): void {
    this.allowed.set(key, new Set([found]));
  }
}

/** Kills the writer, at no particular moment, once it has acknowledged `writes` writes. */
async function writeUntilKilled(
  folder: string,
  expected: Expectations,
  writes: number,
): Promise<void> {
  const child = spawn(process.execPath, [WRITER, folder, String(expected.lastSequence + 1)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise<string | null>((resolve) =>
    child.on('exit', (_code, signal) => resolve(signal)),
  );
  let acknowledged = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const ack = JSON.parse(line) as Ack | 'ready';
    if (ack === 'ready') continue;
    expected.take(ack);
    if (ack.kind === 'acknowledged') acknowledged += 1;
    if (acknowledged === writes) child.kill('SIGKILL');
  }
  expect(await exited).toBe('SIGKILL');
}

async function verify(folder: string, expected: Expectations): Promise<void> {
  const stack = startBdevStack(folder);
  await stack.call('bdev_aio_create', { name: 'disk', filename: join(folder, 'disk.img') });
  for (let lvol = 0; lvol < LVOLS; lvol += 1) {
    const bdev = stack.registry.find(`lvs/v${lvol}`);
    if (bdev === undefined) throw new Error(`lvol v${lvol} is missing`);
    const content = await bdev.read(0, LVOL_BLOCKS * BLOCK_SIZE);
    for (let block = 0; block < LVOL_BLOCKS; block += 1) {
      const data = content.subarray(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
      const found = sequenceOf(data, lvol, block);
      const key = `${lvol}/${block}`;
      const allowed = expected.of(key);
      if (found === undefined || !allowed.has(found)) {
        throw new Error(`block ${key} is of write ${found}; allowed are ${[...allowed].join()}`);
      }
      expected.settle(key, found);
    }
  }
  for (const store of stack.stores.list()) expect(accountingErrors(store)).toEqual([]);
  expect(stack.stores.list()).toHaveLength(1);
  await stack.call('bdev_aio_delete', { name: 'disk' });
  await stack.close();
}

test('a target killed under load loses no acknowledged write and mixes none up', async () => {
  if (!existsSync(WRITER)) throw new Error(`${WRITER} is missing: run \`npx tsc -b\` first`);
  const [folder, remove] = await makeTestFolder();
  try {
    await writeFile(join(folder, 'disk.img'), Buffer.alloc(DISK_SIZE, 0xdb));
    const expected = new Expectations();
    for (let round = 0; round < ROUNDS; round += 1) {
      await writeUntilKilled(folder, expected, 150 + Math.floor(Math.random() * 400));
      await writeFile(join(folder, 'made'), '');
      await verify(folder, expected);
    }
    expect(expected.lastSequence).toBeGreaterThan(ROUNDS * 100);
  } finally {
    await remove();
  }
}, 120_000);
