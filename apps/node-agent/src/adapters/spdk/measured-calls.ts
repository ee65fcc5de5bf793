import type { CallObserver } from '@lariat/spdk';
import { METRICS, type Metrics, secondsSince } from '@lariat/telemetry';

/** How long each call of the target took. */
export function measuredCalls(metrics: Metrics, node: string): CallObserver {
  return {
    onCall({ method }) {
      const began = performance.now();
      return {
        end: (outcome) =>
          metrics.record(METRICS.rpcDuration, secondsSince(began), {
            'node.id': node,
            'rpc.method': method,
            outcome: 'error' in outcome ? 'error' : 'ok',
          }),
      };
    },
  };
}
