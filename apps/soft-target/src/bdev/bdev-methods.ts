import {
  arrayOf,
  bool,
  decodeObject,
  noParams,
  oneOf,
  opt,
  str,
  timeoutMs,
  uint,
} from '../rpc/decode.js';
import { method, type JsonObject, type MethodTable } from '../rpc/method.js';
import { JsonRpcCode, RpcError } from '../rpc/rpc-error.js';
import { bdevToJson } from './bdev-json.js';
import { BdevEvent, type Bdev } from './bdev.js';
import { RESET_MODES, TICKS_PER_SECOND, type ResetMode } from './io-stat.js';
import { isMedium } from './lvol/lvol-stores.js';
import { MeteredBdev } from './metered-bdev.js';
import { RATE_LIMIT_NAMES } from './rate-limits.js';
import { requireBdev, type TargetBdevs } from './registry.js';

export interface BdevMethodsDeps {
  readonly registry: TargetBdevs;
  /** Looks at one bdev for a store, where that is not done by itself. */
  readonly examine: (bdev: Bdev) => Promise<void>;
}

/** The methods of lib/bdev/bdev_rpc.c. */
export function bdevMethods({ registry, examine }: BdevMethodsDeps): MethodTable {
  return {
    bdev_get_bdevs: method(
      decodeObject({ name: opt(str), timeout: opt(timeoutMs) }),
      async ({ name, timeout }) => {
        const bdevs =
          name === undefined ? registry.list() : [await awaitBdev(registry, name, timeout ?? 0)];
        return bdevs.map((bdev) => bdevToJson(registry, bdev));
      },
    ),
    bdev_wait_for_examine: method(noParams, async () => {
      await registry.examined();
      return true;
    }),
    bdev_examine: method(decodeObject({ name: str }), async ({ name }) => {
      const bdev = registry.find(name);
      // SPDK examines every bdev when it appears, and then refuses to do it by hand.
      if (bdev === undefined || isMedium(bdev)) throw RpcError.errno('EINVAL');
      await examine(bdev);
      return true;
    }),
    bdev_get_iostat: method(
      decodeObject({
        names: opt(arrayOf(str)),
        per_channel: opt(bool),
        reset_mode: opt(oneOf(...RESET_MODES)),
      }),
      ({ names, per_channel: perChannel = false, reset_mode: resetMode = 'none' }) => {
        if (perChannel && names?.length !== 1) throw RpcError.errno('EINVAL');
        const bdevs = names?.map((name) => requireBdev(registry, name)) ?? registry.list();
        const stats = bdevs.flatMap((bdev) => statOf(bdev, resetMode));
        const [only] = stats;
        return {
          tick_rate: TICKS_PER_SECOND,
          ticks: Math.round(performance.now() * 1e6),
          ...(perChannel && only !== undefined ? channelOf(only) : { bdevs: stats }),
        };
      },
    ),
    bdev_reset_iostat: method(
      decodeObject({ name: opt(str), mode: opt(oneOf(...RESET_MODES)) }),
      ({ name, mode = 'all' }) => {
        // As in SPDK, which looks for the bdev only when there is something to do.
        if (mode === 'none') return true;
        const bdevs = name === undefined ? registry.list() : [requireBdev(registry, name)];
        for (const bdev of bdevs) statOf(bdev, mode);
        return true;
      },
    ),
    bdev_set_qos_limit: method(
      decodeObject({
        name: str,
        rw_ios_per_sec: opt(uint),
        rw_mbytes_per_sec: opt(uint),
        r_mbytes_per_sec: opt(uint),
        w_mbytes_per_sec: opt(uint),
      }),
      ({ name, ...limits }) => {
        const bdev = requireBdev(registry, name);
        if (RATE_LIMIT_NAMES.every((limit) => limits[limit] === undefined)) {
          throw RpcError.errno('EINVAL', 'No rate limits specified');
        }
        if (!(bdev instanceof MeteredBdev)) {
          throw new RpcError(
            JsonRpcCode.invalidParams,
            'Failed to configure rate limit: Operation not supported',
          );
        }
        bdev.limits.set(limits);
        return true;
      },
    ),
  };
}

function statOf(bdev: Bdev, reset: ResetMode): readonly JsonObject[] {
  if (!(bdev instanceof MeteredBdev)) return [];
  const json = { name: bdev.name, ...bdev.stat.toJson() };
  bdev.stat.reset(reset);
  return [json];
}

/** All I/O is done by one thread, which SPDK would count as 1, the application's first. */
function channelOf({ name, ...stat }: JsonObject): JsonObject {
  return { name, channels: [{ thread_id: 1, ...stat }] };
}

function awaitBdev(registry: TargetBdevs, name: string, limitMs: number): Promise<Bdev> {
  const present = registry.find(name);
  if (present !== undefined) return Promise.resolve(present);
  if (limitMs === 0) return Promise.reject(RpcError.errno('ENODEV'));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      stop();
      reject(RpcError.errno('ETIMEDOUT'));
    }, limitMs);
    const stop = registry.listen((event) => {
      const bdev = event === BdevEvent.register ? registry.find(name) : undefined;
      if (bdev === undefined) return;
      clearTimeout(timer);
      stop();
      resolve(bdev);
    });
  });
}
