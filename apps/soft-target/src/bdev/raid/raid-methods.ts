import {
  arrayOf,
  bool,
  decodeObject,
  oneOf,
  opt,
  str,
  timeoutMs,
  uint32,
  uuid,
} from '../../rpc/decode.js';
import { method, type MethodTable } from '../../rpc/method.js';
import { RpcError } from '../../rpc/rpc-error.js';
import type { IoGates } from '../gates/io-gates.js';
import type { TargetBdevs } from '../registry.js';
import { MirrorRaid } from './mirror-raid.js';
import { RaidLevel, type RaidBdev } from './raid-bdev.js';
import type { RaidModule } from './raid-module.js';

export interface RaidMethodsDeps {
  readonly registry: TargetBdevs;
  readonly raids: RaidModule;
  readonly gates: IoGates;
}

/** bdev_raid_level of SPDK's schema. */
const LEVEL_NAMES = ['raid0', '0', 'raid1', '1', 'raid5f', '5f', 'concat'] as const;
const LEVELS: Readonly<Record<(typeof LEVEL_NAMES)[number], RaidLevel | undefined>> = {
  raid0: RaidLevel.raid0,
  '0': RaidLevel.raid0,
  raid1: RaidLevel.raid1,
  '1': RaidLevel.raid1,
  // As in an SPDK that is built without it.
  raid5f: undefined,
  '5f': undefined,
  concat: RaidLevel.concat,
};

/** A window is in memory as a whole. */
const MAX_WINDOW_BYTES = 16 * 1024 * 1024;

/** The methods of module/bdev/raid/bdev_raid_rpc.c, bdev_raid_grow_base_bdev of Longhorn's SPDK, and two of Lariat's own. */
export function raidMethods({ registry, raids, gates }: RaidMethodsDeps): MethodTable {
  const require = (name: string, message: string): RaidBdev => {
    const raid = raids.find(name);
    if (raid === undefined) throw RpcError.errno('ENODEV', message);
    return raid;
  };
  return {
    bdev_raid_create: method(
      decodeObject({
        name: str,
        strip_size_kb: opt(uint32),
        raid_level: oneOf(...LEVEL_NAMES),
        base_bdevs: arrayOf(str),
        uuid: opt(uuid),
        superblock: opt(bool),
      }),
      ({ name, strip_size_kb: stripSizeKib, raid_level: levelName, ...rest }) => {
        const level = LEVELS[levelName];
        if (rest.base_bdevs.includes('')) {
          throw RpcError.errno('EINVAL', 'The base bdev name cannot be empty: Invalid argument');
        }
        return saying(`Failed to create RAID bdev ${name}`, () => {
          if (level === undefined) throw RpcError.errno('EINVAL');
          if (rest.superblock === true) throw RpcError.errno('ENOTSUP');
          raids.create({
            name,
            level,
            stripSizeKib: stripSizeKib ?? 0,
            baseNames: rest.base_bdevs,
            uuid: rest.uuid,
          });
          return true;
        });
      },
    ),
    bdev_raid_delete: method(decodeObject({ name: str, clear_sb: opt(bool) }), async ({ name }) => {
      await raids.delete(require(name, `raid bdev ${name} not found`));
      return true;
    }),
    bdev_raid_get_bdevs: method(
      decodeObject({ category: oneOf('all', 'online', 'configuring', 'offline') }),
      ({ category }) =>
        raids
          .list()
          .filter(({ state }) => category === 'all' || state === category)
          .map((raid) => ({ name: raid.name, ...raid.toJson() })),
    ),
    bdev_raid_remove_base_bdev: method(decodeObject({ name: str }), ({ name }) => {
      const bdev = registry.find(name);
      try {
        if (bdev === undefined) throw RpcError.errno('ENODEV');
        raids.removeBase(bdev);
      } catch (error) {
        throw reworded(error, () => 'Failed to remove base bdev from raid bdev');
      }
      return true;
    }),
    bdev_raid_add_base_bdev: method(
      decodeObject({ raid_bdev: str, base_bdev: str }),
      async ({ raid_bdev: name, base_bdev: base }) => {
        const raid = require(name, `raid bdev ${name} is not found in config`);
        await saying(`Failed to add base bdev ${base} to RAID bdev ${name}`, () =>
          raids.addBase(raid, base),
        );
        return true;
      },
    ),
    bdev_raid_grow_base_bdev: method(
      decodeObject({ raid_name: str, base_name: str, gate_id: opt(str) }),
      async ({ raid_name: name, base_name: base, gate_id: gateId }) => {
        const raid = require(name, `raid bdev ${name} is not found in config`);
        await saying(`Failed to grow raid '${name}' adding base bdev '${base}'`, () =>
          raids.growBase(raid, base, () => {
            if (gateId !== undefined) gates.checkClosed(raid, gateId);
          }),
        );
        return true;
      },
    ),
    bdev_raid_set_options: method(
      decodeObject({
        process_window_size_kb: opt(uint32),
        process_max_bandwidth_mb_sec: opt(uint32),
      }),
      ({ process_window_size_kb: windowKib, process_max_bandwidth_mb_sec: maxMibPerSecond }) => {
        if (windowKib === 0) throw RpcError.errno('EINVAL');
        raids.setRebuildOptions({
          ...(windowKib === undefined
            ? {}
            : { windowBytes: Math.min(windowKib * 1024, MAX_WINDOW_BYTES) }),
          ...(maxMibPerSecond === undefined ? {} : { maxMibPerSecond }),
        });
        return true;
      },
    ),
    lariat_raid_hold_losses: method(
      decodeObject({ name: str, timeout_ms: timeoutMs }),
      ({ name, timeout_ms: limitMs }) => {
        if (limitMs === 0) throw RpcError.errno('EINVAL');
        requireMirror(require(name, `raid bdev ${name} not found`)).losses.hold(limitMs);
        return true;
      },
    ),
    lariat_raid_confirm_losses: method(
      decodeObject({ name: str, base_bdevs: arrayOf(str) }),
      ({ name, base_bdevs: names }) => {
        const { losses } = requireMirror(require(name, `raid bdev ${name} not found`));
        losses.confirm(names);
        return { unconfirmed: losses.unconfirmed };
      },
    ),
  };
}

function requireMirror(raid: RaidBdev): MirrorRaid {
  if (raid instanceof MirrorRaid) return raid;
  throw RpcError.errno('ENOTSUP');
}

/** Puts what was attempted before the words of the errno. */
async function saying<T>(attempt: string, operation: () => T | Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw reworded(error, (message) => `${attempt}: ${message}`);
  }
}

function reworded(error: unknown, words: (message: string) => string): unknown {
  return error instanceof RpcError ? new RpcError(error.code, words(error.message)) : error;
}
