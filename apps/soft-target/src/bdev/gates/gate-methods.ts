import { decodeObject, str, timeoutMs } from '../../rpc/decode.js';
import { method, type MethodTable } from '../../rpc/method.js';
import { RpcError } from '../../rpc/rpc-error.js';
import { requireBdev, type TargetBdevs } from '../registry.js';
import type { IoGates } from './io-gates.js';

export interface GateMethodsDeps {
  readonly registry: TargetBdevs;
  readonly gates: IoGates;
}

/** Lariat's own methods, which stock SPDK has no like of: they hold a bdev's I/O for a moment. */
export function gateMethods({ registry, gates }: GateMethodsDeps): MethodTable {
  return {
    lariat_bdev_quiesce: method(
      decodeObject({ name: str, gate_id: str, timeout_ms: timeoutMs }),
      async ({ name, gate_id: gateId, timeout_ms: limitMs }) => {
        if (gateId === '' || limitMs === 0) throw RpcError.errno('EINVAL');
        await gates.quiesce(requireBdev(registry, name), gateId, limitMs);
        return true;
      },
    ),
    lariat_bdev_unquiesce: method(
      decodeObject({ name: str, gate_id: str }),
      ({ name, gate_id: gateId }) => ({
        held: gates.unquiesce(requireBdev(registry, name), gateId),
      }),
    ),
  };
}
