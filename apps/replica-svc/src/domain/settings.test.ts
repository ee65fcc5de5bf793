import {
  type NodeRecord,
  allocatableBytes,
  DEFAULT_DISK_SETTINGS,
  diskSettingsOf,
  zoneOf,
} from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { nodeWithDisk } from '../adapters/allocation-store.test-support.js';
import { disksOf } from './disk-state.js';
import { toNodeView } from './node-view.js';
import { withDiskSettings, withNodeSettings, withoutDisk } from './settings.js';

const node = (): NodeRecord => {
  const { settings: _none, ...record } = nodeWithDisk('n1', 100);
  return record;
};

describe('what may be promised on a disk', () => {
  it.each([
    [1_000, 0, 100, 1_000],
    [1_000, 300, 100, 700],
    [1_000, 300, 150, 1_050],
    [1_000, 1_000, 100, 0],
    [1_000, 2_000, 500, 0],
    [999, 0, 50, 499],
    [1, 0, 1, 0],
    // A product that does not fit into 2^53 must not lose its last digits.
    [2 ** 50 + 1, 0, 100, 2 ** 50 + 1],
    [2 ** 50, 0, 10_000, Number.MAX_SAFE_INTEGER],
  ])(
    'of %i bytes with %i reserved at %i %% is %i',
    (capacityBytes, reservedBytes, percent, bytes) => {
      const settings = {
        ...DEFAULT_DISK_SETTINGS,
        reservedBytes,
        overProvisioningPercent: percent,
      };
      expect(allocatableBytes(capacityBytes, settings)).toBe(bytes);
    },
  );
});

describe('settings', () => {
  it('change what is asked for and nothing else, and the view and placement go by them', () => {
    const tagged = withNodeSettings(node(), { tags: ['fast', 'fast'], zone: 'rack-2' });
    const set = withDiskSettings(tagged, 'disk-n1', { reservedBytes: 50, tags: ['ssd'] });
    const after = withDiskSettings(set, 'disk-n1', { overProvisioningPercent: 200 });
    expect(diskSettingsOf(after, 'disk-n1')).toEqual({
      tags: ['ssd'],
      schedulable: true,
      reservedBytes: 50,
      overProvisioningPercent: 200,
    });
    expect(after).toMatchObject({ schedulable: true, zone: 'default' });
    expect(zoneOf(after)).toBe('rack-2');
    expect(disksOf(after, () => ({ replicas: { r: 3 }, images: { i: 4 } }))).toMatchObject([
      {
        zone: 'rack-2',
        nodeTags: ['fast'],
        diskTags: ['ssd'],
        allocatableBytes: 300,
        scheduledBytes: 7,
      },
    ]);
    const view = toNodeView(after, () => ({ scheduledBytes: 7, replicas: 1, images: 1 }));
    expect(view).toMatchObject({
      zone: 'rack-2',
      tags: ['fast'],
      disks: [{ tags: ['ssd'], allocatableBytes: 300, scheduledBytes: 7, availableBytes: 293 }],
    });
    expect(view).not.toHaveProperty('settings');
  });

  it('that say what is so already leave the very record', () => {
    const bare = node();
    expect(withNodeSettings(bare, {})).toBe(bare);
    expect(withNodeSettings(bare, { tags: [], zone: null })).toBe(bare);
    expect(withDiskSettings(bare, 'disk-n1', { schedulable: true, reservedBytes: 0 })).toBe(bare);
  });

  it('can be taken back', () => {
    const set = withDiskSettings(node(), 'disk-n1', { tags: ['ssd'] });
    expect(diskSettingsOf(withDiskSettings(set, 'disk-n1', { tags: null }), 'disk-n1').tags).toBe(
      null,
    );
    const moved = withNodeSettings(node(), { zone: 'rack-2' });
    expect(zoneOf(withNodeSettings(moved, { zone: null }))).toBe('default');
  });

  it('go with their disk', () => {
    const set = withDiskSettings(node(), 'disk-n1', { tags: ['ssd'] });
    expect(withoutDisk(set, 'disk-n1')).toMatchObject({ disks: [], settings: { disks: {} } });
    expect(withoutDisk(set, 'other')).toBe(set);
  });

  it.each([
    ['DISK_NOT_FOUND', 'other', {}],
    ['SIZE_INVALID', 'disk-n1', { reservedBytes: 201 }],
  ] as const)('are refused with %s for %s %j', (code, disk, asked) => {
    const update = (): unknown => withDiskSettings(node(), disk, asked);
    expect(update).toThrow(expect.objectContaining({ code }));
  });
});
