import { existsSync } from 'node:fs';
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { startBdevStack } from '../stack-fixture.js';
import { blockOf, BLOCK_SIZE, CLUSTER_SIZE, LVOL_BLOCKS, LVOLS, type Ack } from './crash-blocks.js';

/**
 * Writes to lvols until it is killed, telling on stdout of each write before it is begun and when it is
 * acknowledged; meanwhile it snapshots the lvols, deletes old snapshots and zeroes clusters. Run by
 * crash.test.ts as `node crash-writer.js <folder> <first sequence number>`.
 */
const [folder = '', firstSequence = '1'] = process.argv.slice(2);
let sequence = Number(firstSequence);
const stack = startBdevStack(folder);
const tell = (ack: Ack): void => {
  writeSync(1, `${JSON.stringify(ack)}\n`);
};

const isNew = !existsSync(join(folder, 'made'));
await stack.call('bdev_aio_create', { name: 'disk', filename: join(folder, 'disk.img') });
if (isNew) {
  await stack.call('bdev_lvol_create_lvstore', {
    bdev_name: 'disk',
    lvs_name: 'lvs',
    cluster_sz: CLUSTER_SIZE,
    lariat_overwrite: true,
  });
  for (let index = 0; index < LVOLS; index += 1) {
    await stack.call('bdev_lvol_create', {
      lvs_name: 'lvs',
      lvol_name: `v${index}`,
      size_in_mib: (LVOL_BLOCKS * BLOCK_SIZE) / (1024 * 1024),
      thin_provision: true,
    });
  }
}
writeSync(1, '"ready"\n');
await Promise.all(
  Array.from({ length: LVOLS }, (_, index) =>
    Promise.all([...Array.from({ length: 4 }, (_, lane) => write(index, lane)), snapshots(index)]),
  ),
);

/** Each lane has blocks of its own, so that the last write of each block is known. */
async function write(index: number, lane: number): Promise<void> {
  const bdev = stack.registry.find(`lvs/v${index}`);
  if (bdev === undefined) throw new Error(`lvol v${index} is missing`);
  for (;;) {
    const count = 1 + Math.floor(Math.random() * 3);
    const at = Math.floor(Math.random() * (LVOL_BLOCKS / 4 - count));
    const block = lane * (LVOL_BLOCKS / 4) + at;
    sequence += 1;
    const isZero = sequence % 11 === 0;
    const ack: Ack = { kind: 'begun', lvol: index, block, count, sequence, isZero };
    tell(ack);
    if (isZero) await bdev.unmap(block * BLOCK_SIZE, count * BLOCK_SIZE);
    else await bdev.write(block * BLOCK_SIZE, blockOf(ack));
    tell({ ...ack, kind: 'acknowledged' });
  }
}

async function snapshots(index: number): Promise<void> {
  for (let made = 0; ; made += 1) {
    const name = `s${index}-${firstSequence}-${made}`;
    await stack.call('bdev_lvol_snapshot', { lvol_name: `lvs/v${index}`, snapshot_name: name });
    const lvols = (await stack.call('bdev_lvol_get_lvols')) as readonly {
      readonly alias: string;
    }[];
    const old = lvols
      .map(({ alias }) => alias)
      .filter((alias) => alias.startsWith(`lvs/s${index}-`));
    for (const alias of old.slice(0, -2)) await stack.call('bdev_lvol_delete', { name: alias });
  }
}
