import { open } from 'node:fs/promises';
import type { TargetProcess } from './target-process.js';

/** A difference from SPDK that is on purpose. */
export interface Exception {
  readonly what: string;
  readonly why: string;
  /** Does it, on a target whose disk is not opened yet. */
  readonly attempt: (target: TargetProcess) => Promise<unknown>;
  /** JSON-RPC error code that each answers with; 'accepted' when it is no error there. */
  readonly softTarget: number | 'accepted';
  /** Of soft-target as stock SPDK, where it is to be as SPDK; missing: it is as soft-target. */
  readonly stock?: number | 'accepted';
  readonly spdk: number | 'accepted';
}

const LISTEN = { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1' };
const NQN = 'nqn.2026-01.io.lariat:exception';

/** All of them. What is only left out is in the README of soft-target: a method that is missing can't mislead. */
export const EXCEPTIONS: readonly Exception[] = [
  {
    what: 'a second bdev on a file that one has open',
    why: 'two writers of one disk lose data; SPDK leaves it to its user',
    attempt: async (target) => {
      await target.openDisk();
      return target.spdk.bdev.aioCreate({
        name: 'again',
        filename: target.diskPath,
        blockSizeBytes: 4096,
      });
    },
    softTarget: -16,
    spdk: 'accepted',
  },
  {
    what: 'an lvol store on a disk with content',
    why: 'the disk may be the wrong one; lariat_overwrite says that it is not',
    attempt: async (target) => {
      const disk = await open(target.diskPath, 'r+');
      await disk.write(Buffer.from([0x53, 0xef]), 0, 2, 1080);
      await disk.close();
      await target.makeStore();
    },
    softTarget: -17,
    spdk: 'accepted',
  },
  {
    what: 'a raid1 of one base bdev',
    why: 'a volume with one replica gets its second in place (bdev_raid_grow_base_bdev)',
    attempt: async (target) => {
      await target.openDisk();
      await target.spdk.raid.create({ name: 'r', raidLevel: 'raid1', baseBdevs: ['disk'] });
    },
    softTarget: 'accepted',
    stock: -22,
    spdk: -22,
  },
  {
    what: 'bdev_examine of an lvol',
    why: 'a volume is not examined by itself, since its first bytes are its user’s; this asks for it',
    attempt: async (target) => {
      await target.makeStore();
      const lvol = await target.createLvol('v', 8);
      await target.rpc.call('bdev_examine', { name: lvol });
    },
    softTarget: 'accepted',
    spdk: -22,
  },
  {
    what: 'a second path with multipath',
    why: 'a leg has one path; two are for failover alone',
    attempt: async (target) => {
      await target.makeStore();
      const lvol = await target.createLvol('v', 8);
      await target.exportBdev(NQN, lvol, NQN);
      await target.rpc.call('nvmf_subsystem_add_listener', {
        nqn: NQN,
        listen_address: { ...LISTEN, traddr: '127.0.0.2', trsvcid: target.port },
      });
      const path = { name: 'c', subnqn: NQN, hostnqn: NQN, trsvcid: target.port };
      await target.spdk.nvme.attachController({ ...path, traddr: '127.0.0.1' });
      await target.spdk.nvme.attachController({
        ...path,
        traddr: '127.0.0.2',
        multipath: 'multipath',
      });
    },
    softTarget: -95,
    spdk: 'accepted',
  },
];

/** Methods that stock SPDK does not have. The agent asks for them by name and does without. */
export const EXTENSIONS: readonly string[] = [
  'bdev_raid_grow_base_bdev',
  'lariat_bdev_quiesce',
  'lariat_bdev_unquiesce',
  'lariat_lvol_get_cluster_digests',
  'lariat_raid_confirm_losses',
  'lariat_raid_hold_losses',
];
