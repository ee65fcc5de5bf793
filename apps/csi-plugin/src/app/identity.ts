import { LariatError } from '@lariat/kernel';
import { DRIVER_NAME } from '../domain/topology.js';
import type { CallScope, HandlersOf, IdentityCalls } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';

export const VERSION = '0.1.0';

/** Whether it is ready is asked about now: nobody waits for it to be. */
const PROBE_MS = 2_000;

function within(ms: number, scope: CallScope): CallScope {
  const endMs = performance.now() + ms;
  const leftMs = (): number => Math.max(0, Math.min(scope.leftMs(), endMs - performance.now()));
  return { leftMs, signal: scope.signal };
}

export function identityCalls(
  cluster: ClusterPort,
  { isController }: { readonly isController: boolean },
): HandlersOf<IdentityCalls> {
  const services = [
    ...(isController ? ['CONTROLLER_SERVICE', 'GROUP_CONTROLLER_SERVICE'] : []),
    'VOLUME_ACCESSIBILITY_CONSTRAINTS',
  ];
  return {
    GetPluginInfo: () => Promise.resolve({ name: DRIVER_NAME, vendorVersion: VERSION }),
    GetPluginCapabilities: () =>
      Promise.resolve({
        capabilities: [
          ...services.map((type) => ({ service: { type } })),
          { volumeExpansion: { type: 'ONLINE' } },
        ],
      }),
    // Whether what it stands on answers: a plugin without its cluster is not ready, and not broken either.
    Probe: async (_request, scope) => {
      try {
        await cluster.request('node.list', {}, within(PROBE_MS, scope));
        return { ready: { value: true } };
      } catch (error) {
        if (error instanceof LariatError) return { ready: { value: false } };
        throw error;
      }
    },
  };
}
