import { lariatError } from '@lariat/contracts';
import { KeyedQueue, ReconcileCounts } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { aioName } from '../domain/names.js';
import { silentLog } from '../testing/fixture.js';
import { DiskWatch, type DiskWatchParts } from './disk-watch.js';

describe('the watch over the disks of a node', () => {
  let kind: 'absent' | 'file';
  let identity: string;
  let probeError: Error | undefined;
  let loadError: Error | undefined;
  let loads: number;
  let isLoaded: boolean;
  let targetInstance: string;
  let isTargetAway: boolean;
  let counts: ReconcileCounts;
  let watch: DiskWatch;

  beforeEach(() => {
    [kind, identity, targetInstance] = ['file', 'inode-1', 'life-1'];
    [probeError, loadError] = [undefined, undefined];
    [loads, isLoaded, isTargetAway] = [0, true, false];
    counts = new ReconcileCounts();
    const disk = { kind: 'disk', name: 'disk-1', uuid: 'store-1', params: { path: '/d1' } };
    const lvol = { kind: 'lvol', name: 'disk-1/h', uuid: 'head-1', params: { disk: 'disk-1' } };
    const stores = () => (isLoaded ? [{ uuid: 'store-1', baseBdev: aioName('disk-1') }] : []);
    const parts = {
      journal: {
        ownedOfKind: (wanted: string) => (wanted === 'disk' ? [disk] : [lvol]),
        owned: () => disk,
      },
      target: {
        get instance() {
          return targetInstance;
        },
        spdk: () => ({
          lvol: {
            getLvstores: () =>
              isTargetAway
                ? Promise.reject(lariatError('TARGET_UNAVAILABLE', 'away'))
                : Promise.resolve(stores()),
          },
        }),
      },
      files: {
        kindOf: () => Promise.resolve(kind),
        identityOf: () => Promise.resolve(identity),
        probe: () => (probeError === undefined ? Promise.resolve() : Promise.reject(probeError)),
      },
      disks: {
        load: () => {
          loads += 1;
          if (loadError !== undefined) return Promise.reject(loadError);
          isLoaded = true;
          return Promise.resolve();
        },
      },
      queue: new KeyedQueue(),
      clock: { nowMs: () => 0 },
      counts,
      log: silentLog,
    };
    watch = new DiskWatch(parts as unknown as DiskWatchParts);
  });

  const look = async (times = 1): Promise<string | undefined> => {
    for (let at = 0; at < times; at += 1) await watch.look();
    return watch.lost('disk-1')?.reason;
  };

  it('takes a disk whose file is gone for lost when it finds so twice, and for back when it is there', async () => {
    expect(await look(2)).toBeUndefined();
    kind = 'absent';
    expect(await look()).toBeUndefined();
    expect(await look()).toBe('/d1 is gone');
    expect(watch.lost('disk-1')?.since).toBe(new Date(0).toISOString());
    expect(watch.lostLvol('head-1')).toBe('its disk is lost: /d1 is gone');
    expect(watch.lostLvol('another')).toBeUndefined();
    kind = 'file';
    expect(await look()).toBeUndefined();
    expect(watch.lostLvol('head-1')).toBeUndefined();
    expect(counts.view().disks?.repairs).toBe(0);
  });

  it('is not taken in by a disk that is away for one look only', async () => {
    for (let at = 0; at < 3; at += 1) {
      kind = 'absent';
      expect(await look()).toBeUndefined();
      kind = 'file';
      expect(await look()).toBeUndefined();
    }
  });

  it('tells what the disk says when it can not be read', async () => {
    await look();
    probeError = new Error('EIO: i/o error, read');
    expect(await look(2)).toContain('EIO');
  });

  it('loads what the target has let go of, and nothing when nothing is wrong', async () => {
    await look(3);
    expect(loads).toBe(0);
    isLoaded = false;
    expect(await look(2)).toBeUndefined();
    expect(loads).toBe(1);
    expect(counts.view().disks).toEqual({ looks: 5, repairs: 1 });
  });

  it('calls a disk without its store lost, and tries again until that is back', async () => {
    isLoaded = false;
    loadError = lariatError('DISK_STORE_MISSING', '/d1 holds no lvol store');
    expect(await look(3)).toBe('/d1 holds no lvol store');
    loadError = undefined;
    expect(await look()).toBeUndefined();
    expect(isLoaded).toBe(true);
  });

  it('does not take another file at the path for the disk, unless a new target has opened it', async () => {
    await look();
    identity = 'inode-2';
    expect(await look(2)).toContain('another file or device');
    targetInstance = 'life-2';
    expect(await look()).toBeUndefined();
  });

  it('says nothing when the target does not answer', async () => {
    isTargetAway = true;
    await expect(watch.look()).rejects.toMatchObject({ code: 'TARGET_UNAVAILABLE' });
    isTargetAway = false;
    isLoaded = false;
    loadError = lariatError('TARGET_UNAVAILABLE', 'away');
    for (let at = 0; at < 3; at += 1)
      await expect(watch.look()).rejects.toMatchObject({ code: 'TARGET_UNAVAILABLE' });
    expect(watch.lost('disk-1')).toBeUndefined();
  });
});
