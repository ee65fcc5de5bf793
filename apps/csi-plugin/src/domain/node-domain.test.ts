import type { VolumeContent } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { superblock } from '../testing/fake-node.js';
import { whyNotDevice } from './device.js';
import { mountAt, parseMountInfo } from './mount-table.js';
import { STAGE_TABLE, findingOf } from './stage-decision.js';
import { PROBED_BYTES, probeOf } from './superblock.js';

const UUID = '11111111-1111-4111-8111-111111111111';

describe('a probe', () => {
  it('is absent for zeros alone, and unknown for less than was asked for', () => {
    expect(probeOf(Buffer.alloc(PROBED_BYTES))).toEqual({ kind: 'absent' });
    expect(probeOf(Buffer.alloc(PROBED_BYTES - 1)).kind).toBe('unknown');
    const stray = Buffer.alloc(PROBED_BYTES);
    stray[PROBED_BYTES - 1] = 1;
    expect(probeOf(stray)).toEqual({ kind: 'present', fsType: null, uuid: null });
  });

  it.each(['ext4', 'xfs'])('finds %s with its uuid', (fsType) => {
    expect(probeOf(superblock(fsType, UUID))).toEqual({ kind: 'present', fsType, uuid: UUID });
  });

  it('finds what is encrypted', () => {
    const head = Buffer.alloc(PROBED_BYTES);
    head.write('LUKS\xba\xbe', 0, 'latin1');
    expect(probeOf(head)).toMatchObject({ kind: 'present', fsType: 'crypto_LUKS' });
  });
});

describe('the table of a stage', () => {
  it('formats on an intent alone, and intends to for a blank volume that reads as empty alone', () => {
    const cells = Object.entries(STAGE_TABLE).flatMap(([state, row]) =>
      Object.entries(row).map(([finding, step]) => ({ state, finding, step })),
    );
    expect(cells.filter(({ step }) => step === 'intend')).toEqual([
      { state: 'blank', finding: 'absent', step: 'intend' },
    ]);
    expect(
      new Set(cells.filter(({ step }) => step === 'format').map(({ state }) => state)),
    ).toEqual(new Set(['format-intended']));
    // Of what can't be read nothing follows.
    expect(cells.filter(({ finding }) => finding === 'unknown').map(({ step }) => step)).toEqual(
      Array.from({ length: 4 }, () => 'wait'),
    );
  });

  it('sees what is on record in what was read', () => {
    const content: VolumeContent = { state: 'initialised', fsType: 'ext4', uuid: UUID };
    expect(findingOf(content, probeOf(superblock('ext4', UUID)))).toBe('as-recorded');
    expect(findingOf(content, probeOf(superblock('xfs', UUID)))).toBe('other');
    expect(findingOf({ state: 'foreign' }, probeOf(superblock('xfs', UUID)))).toBe('other');
  });
});

describe('a device', () => {
  const facts = (text?: string) => ({
    ...{ path: '/dev/loop3', majorMinor: '7:3', sizeBytes: 1 },
    footing: text === undefined ? undefined : { toldBy: '/sys/class/block/loop3/dm/uuid', text },
  });
  const wanted = { volume: 'vol-0123456789ab', epoch: 3 };

  it('is known by what it stands on, in the life of this attachment', () => {
    expect(whyNotDevice(facts('/data/loop/vol-0123456789ab.3.1/nbd'), wanted)).toBeUndefined();
    expect(whyNotDevice(facts('LARIAT-vol-0123456789ab-3.2'), wanted)).toBeUndefined();
    expect(whyNotDevice(facts('LARIAT-vol-0123456789ab-4.2'), wanted)).toMatch(/epoch 4/);
    for (const alike of [
      'LARIAT-vol-0123456789ab',
      'lariat-vol-0123456789ab-3.2',
      'x-LARIAT-vol-0123456789ab-3.2',
      'LARIAT-vol-0123456789abc-3.2',
      '/data/loop/vol-0123456789ab.3.1/nbd.bak',
      '/data/loop/xvol-0123456789ab.3.1/nbd',
    ])
      expect(whyNotDevice(facts(alike), wanted)).toMatch(/not on/);
    expect(whyNotDevice(facts('/data/loop/vol-0123456789ab.2.1/nbd'), wanted)).toMatch(/epoch 2/);
    expect(whyNotDevice(facts('/data/loop/vol-bbbbbbbbbbbb.3.1/nbd'), wanted)).toMatch(/not on/);
    expect(whyNotDevice(facts(), wanted)).toMatch(/nothing known/);
  });
});

describe('the table of mounts', () => {
  it('has paths as they are, and the mount on top', () => {
    const mounts = parseMountInfo(
      [
        '29 1 7:3 / /var/lib/a\\040b rw,relatime shared:1 - ext4 /dev/loop3 rw',
        '30 1 0:5 /loop3 /block rw,nosuid - devtmpfs udev rw,size=1k',
        '31 29 7:4 / /var/lib/a\\040b ro - xfs /dev/loop4 ro',
        '',
      ].join('\n'),
    );
    expect(mountAt(mounts, '/var/lib/a b')).toMatchObject({ majorMinor: '7:4', fsType: 'xfs' });
    expect(mountAt(mounts, '/block')).toMatchObject({ root: '/loop3', options: ['rw', 'nosuid'] });
    expect(mountAt(mounts, '/nothing')).toBeUndefined();
  });
});
