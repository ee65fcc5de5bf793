import { arrayOf, bool, decodeObject, noParams, oneOf, opt, str, uint } from '../rpc/decode.js';
import { method, type MethodTable } from '../rpc/method.js';
import { JsonRpcCode, RpcError } from '../rpc/rpc-error.js';
import { bdevToJson } from './bdev-json.js';
import { BdevEvent, type Bdev } from './bdev.js';
import { TICKS_PER_SECOND } from './io-stat.js';
import { MeteredBdev } from './metered-bdev.js';
import { RATE_LIMIT_NAMES } from './rate-limits.js';
import { requireBdev, type TargetBdevs } from './registry.js';

export interface BdevMethodsDeps {
  readonly registry: TargetBdevs;
  /** Looks at one bdev on request, also where that is not done by itself. */
  readonly examine: (bdev: Bdev) => Promise<void>;
}

/** The methods of lib/bdev/bdev_rpc.c. */
export function bdevMethods({ registry, examine }: BdevMethodsDeps): MethodTable {
  return {
    bdev_get_bdevs: method(
      decodeObject({ name: opt(str), timeout: opt(uint) }),
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
      await examine(requireBdev(registry, name));
      return true;
    }),
    bdev_get_iostat: method(
      decodeObject({
        names: opt(arrayOf(str)),
        per_channel: opt(bool),
        reset_mode: opt(oneOf('all', 'maxmin', 'none')),
      }),
      ({ names, per_channel: perChannel, reset_mode: resetMode }) => {
        if (perChannel === true) throw RpcError.errno('EINVAL');
        const bdevs = names?.map((name) => requireBdev(registry, name)) ?? registry.list();
        return {
          tick_rate: TICKS_PER_SECOND,
          ticks: Math.round(performance.now() * 1e6),
          bdevs: bdevs.flatMap((bdev) => statOf(bdev, resetMode === 'all')),
        };
      },
    ),
    bdev_reset_iostat: method(
      decodeObject({ name: opt(str), mode: opt(oneOf('all', 'maxmin', 'none')) }),
      ({ name, mode }) => {
        const bdevs = name === undefined ? registry.list() : [requireBdev(registry, name)];
        if (mode !== 'none') for (const bdev of bdevs) statOf(bdev, true);
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

function statOf(bdev: Bdev, reset: boolean): readonly unknown[] {
  if (!(bdev instanceof MeteredBdev)) return [];
  const json = { name: bdev.name, ...bdev.stat.toJson() };
  if (reset) bdev.stat.reset();
  return [json];
}

function awaitBdev(registry: TargetBdevs, name: string, timeoutMs: number): Promise<Bdev> {
  const present = registry.find(name);
  if (present !== undefined) return Promise.resolve(present);
  if (timeoutMs === 0) return Promise.reject(RpcError.errno('ENODEV'));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      stop();
      reject(RpcError.errno('ETIMEDOUT'));
    }, timeoutMs);
    const stop = registry.listen((event) => {
      const bdev = event === BdevEvent.register ? registry.find(name) : undefined;
      if (bdev === undefined) return;
      clearTimeout(timer);
      stop();
      resolve(bdev);
    });
  });
}
