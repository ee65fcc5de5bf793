import { lariatError, type NvmfEndpoint } from '@lariat/contracts';
import { type HostNamespace, NvmeTcpHost } from '@lariat/nvme-tcp';

/** As long as an agent may take to come back; then the import begins anew, on or from another node. */
export const PATH_LOST_MS = 15_000;

export interface NamespaceOptions {
  readonly endpoint: NvmfEndpoint;
  readonly hostNqn: string;
  /** How long a lost path may take before the import fails. */
  readonly ctrlrLossTimeoutMs: number;
}

export interface ConnectedNamespace {
  readonly device: HostNamespace;
  readonly disconnect: () => Promise<void>;
}

/** The namespace that an agent exports for an import; refuses any other. */
export async function connectNamespace(options: NamespaceOptions): Promise<ConnectedNamespace> {
  const { endpoint, hostNqn, ctrlrLossTimeoutMs } = options;
  const controller = await NvmeTcpHost.connect({
    traddr: endpoint.traddr,
    trsvcid: endpoint.trsvcid,
    subnqn: endpoint.nqn,
    hostnqn: hostNqn,
    reconnectDelayMs: 200,
    ctrlrLossTimeoutMs,
  });
  const device = controller.namespaces().find(({ uuid }) => uuid === endpoint.uuid);
  if (device !== undefined) return { device, disconnect: () => controller.close() };
  await controller.close();
  throw lariatError(
    'LEG_UNREACHABLE',
    `${endpoint.nqn} at ${endpoint.traddr}:${endpoint.trsvcid} has no namespace ${endpoint.uuid}`,
  );
}
