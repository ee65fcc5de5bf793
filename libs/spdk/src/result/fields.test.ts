import { describe, expect, test } from 'vitest';
import { parseBdevInfo } from '../methods/bdev.js';
import { parseShallowCopyProgress } from '../methods/lvol.js';
import { parseSubsystem } from '../methods/nvmf.js';
import { parseRaidInfo } from '../methods/raid.js';
import { list } from './fields.js';

/** As spdk_tgt 26.05 answers, cut to the fields in use and some that are not. */
const LVOL_BDEV = {
  name: 'b6b3ba68-4d0a-4b6c-a2a3-2c1ea9b3e7f0',
  aliases: ['lvs0/head'],
  product_name: 'Logical Volume',
  block_size: 4096,
  num_blocks: 65536,
  uuid: 'b6b3ba68-4d0a-4b6c-a2a3-2c1ea9b3e7f0',
  assigned_rate_limits: { rw_ios_per_sec: 0 },
  claimed: false,
  driver_specific: {
    lvol: {
      lvol_store_uuid: '8f1d1c35-6f0e-4cc3-8d2d-bb1d6a6a5a3f',
      base_bdev: 'aio0',
      thin_provision: true,
      num_allocated_clusters: 3,
      snapshot: false,
      clone: true,
      base_snapshot: 'snap-1',
      esnap_clone: false,
    },
  },
};

describe('results', () => {
  test('are read with unknown fields ignored', () => {
    expect(parseBdevInfo(LVOL_BDEV, 'bdev_get_bdevs[0]')).toEqual({
      name: LVOL_BDEV.name,
      aliases: ['lvs0/head'],
      uuid: LVOL_BDEV.uuid,
      productName: 'Logical Volume',
      blockSizeBytes: 4096,
      numBlocks: 65536,
      sizeBytes: 256 * 1024 * 1024,
      claimed: false,
      limits: {
        readWriteIosPerSecond: 0,
        readWriteMbytesPerSecond: 0,
        readMbytesPerSecond: 0,
        writeMbytesPerSecond: 0,
      },
      lvol: {
        lvstoreUuid: '8f1d1c35-6f0e-4cc3-8d2d-bb1d6a6a5a3f',
        baseBdev: 'aio0',
        thinProvision: true,
        allocatedClusters: 3,
        isSnapshot: false,
        isClone: true,
        isEsnapClone: false,
        baseSnapshot: 'snap-1',
        clones: [],
      },
    });
  });

  test.each([
    [{ num_blocks: 'x' }, 'bdev_get_bdevs[1].num_blocks: expected a non-negative integer, got "x"'],
    [{ num_blocks: -1 }, 'bdev_get_bdevs[1].num_blocks: expected a non-negative integer, got -1'],
    [
      { num_blocks: 2 ** 53 },
      'bdev_get_bdevs[1].num_blocks: expected a non-negative integer, got 9007199254740992',
    ],
    [{ name: undefined }, 'bdev_get_bdevs[1].name: expected a string, got nothing'],
    [{ aliases: ['a', 5] }, 'bdev_get_bdevs[1].aliases[1]: expected a string, got 5'],
    [{ claimed: 'no' }, 'bdev_get_bdevs[1].claimed: expected true or false, got "no"'],
    [
      { driver_specific: { lvol: { ...LVOL_BDEV.driver_specific.lvol, clone: 1 } } },
      'bdev_get_bdevs[1].driver_specific.lvol.clone: expected true or false, got 1',
    ],
  ])('name the field that is wrong: %j', (change, message) => {
    const answer = [LVOL_BDEV, { ...LVOL_BDEV, ...change }];
    expect(() => list(parseBdevInfo)(answer, 'bdev_get_bdevs')).toThrow(message);
  });

  test.each([
    [null, 'm: expected an object, got null'],
    [[], 'm: expected an object, got []'],
    ['x'.repeat(200), 'm: expected an object, got "xxxx'],
  ])('name the method when all is wrong: %j', (answer, message) => {
    expect(() => parseBdevInfo(answer, 'm')).toThrow(message);
  });

  test('a bdev without driver_specific is no lvol', () => {
    const { driver_specific: _, ...rest } = LVOL_BDEV;
    expect(parseBdevInfo(rest, 'm').lvol).toBeUndefined();
    expect(
      parseBdevInfo({ ...rest, driver_specific: { aio: { filename: '/x' } } }, 'm').lvol,
    ).toBeUndefined();
  });

  test('a raid that lost a base shows it with a null name', () => {
    const raid = parseRaidInfo(
      {
        name: 'raid-v1',
        uuid: 'u',
        strip_size_kb: 0,
        state: 'online',
        raid_level: 'raid1',
        superblock: false,
        num_base_bdevs: 2,
        num_base_bdevs_discovered: 1,
        num_base_bdevs_operational: 1,
        base_bdevs_list: [
          { name: 'a', uuid: 'ua', is_configured: true, data_offset: 0, data_size: 9 },
          { name: null, uuid: '00000000-0000-0000-0000-000000000000', is_configured: false },
        ],
      },
      'm',
    );
    expect(raid.baseBdevs.map((base) => base.name)).toEqual(['a', null]);
  });

  test('the discovery subsystem has no namespaces field', () => {
    const discovery = parseSubsystem(
      {
        nqn: 'nqn.2014-08.org.nvmexpress.discovery',
        subtype: 'Discovery',
        listen_addresses: [],
        allow_any_host: true,
        hosts: [],
      },
      'm',
    );
    expect(discovery.namespaces).toEqual([]);
  });

  test('a state out of its set is refused', () => {
    const progress = { state: 'done', copied_clusters: 1, total_clusters: 1 };
    expect(() => parseShallowCopyProgress(progress, 'bdev_lvol_check_shallow_copy')).toThrow(
      'bdev_lvol_check_shallow_copy.state: expected one of in progress, complete, error, got "done"',
    );
  });
});
