import { decodeObject, oneOf, opt, str, uint, uuid } from '../../rpc/decode.js';
import { method, type MethodTable } from '../../rpc/method.js';
import { JsonRpcCode, RpcError } from '../../rpc/rpc-error.js';
import { DelayBdev, LATENCY_TYPES } from './delay-bdev.js';
import { nameUuid, uuidBytes } from './name-uuid.js';
import { OverlayModule, type OverlayModuleDeps } from './overlay-module.js';

/** BDEV_DELAY_NAMESPACE_UUID (module/bdev/delay/vbdev_delay.c). */
const NAMESPACE = '4009b574-6430-4f1b-bc40-ace811091027';

/** The methods of module/bdev/delay/vbdev_delay_rpc.c. */
export function delayMethods(deps: Pick<OverlayModuleDeps, 'registry' | 'log'>): MethodTable {
  const delays = new OverlayModule<DelayBdev>({ ...deps, module: 'delay', survivesBase: true });
  return {
    bdev_delay_create: method(
      decodeObject({
        name: str,
        base_bdev_name: str,
        uuid: opt(uuid),
        avg_read_latency: uint,
        p99_read_latency: uint,
        avg_write_latency: uint,
        p99_write_latency: uint,
      }),
      ({ name, base_bdev_name: baseName, uuid: id, ...latency }) => {
        const latenciesUs = {
          avg_read: latency.avg_read_latency,
          p99_read: latency.p99_read_latency,
          avg_write: latency.avg_write_latency,
          p99_write: latency.p99_write_latency,
        };
        if (latenciesUs.p99_read < latenciesUs.avg_read) throw RpcError.errno('EINVAL');
        if (latenciesUs.p99_write < latenciesUs.avg_write) throw RpcError.errno('EINVAL');
        delays.create({
          key: name,
          baseName,
          make: (base) =>
            new DelayBdev({
              name,
              uuid: id ?? nameUuid(NAMESPACE, uuidBytes(base.uuid)),
              base,
              latenciesUs,
            }),
        });
        return name;
      },
    ),
    bdev_delay_update_latency: method(
      decodeObject({
        delay_bdev_name: str,
        latency_type: oneOf(...LATENCY_TYPES),
        latency_us: uint,
      }),
      ({ delay_bdev_name: name, latency_type: type, latency_us: latencyUs }) => {
        const bdev = delays.find(name);
        if (bdev === undefined) {
          throw new RpcError(JsonRpcCode.invalidParams, 'The requested bdev does not exist.');
        }
        bdev.setLatency(type, latencyUs);
        return true;
      },
    ),
    bdev_delay_delete: method(decodeObject({ name: str }), async ({ name }) => {
      await delays.delete(name);
      return true;
    }),
  };
}
