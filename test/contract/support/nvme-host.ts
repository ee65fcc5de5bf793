import { type HostNamespace, NvmeTcpHost } from '@lariat/nvme-tcp';

export interface NamespaceConnection {
  readonly device: HostNamespace;
  readonly close: () => Promise<void>;
}

/** Connects to the one namespace of a subsystem on this machine, as a user of a volume would. */
export async function connectNamespace(
  port: string,
  subnqn: string,
  hostnqn: string,
): Promise<NamespaceConnection> {
  const controller = await NvmeTcpHost.connect({
    traddr: '127.0.0.1',
    trsvcid: port,
    subnqn,
    hostnqn,
  });
  const [device] = controller.namespaces();
  if (device === undefined) {
    await controller.close();
    throw new Error(`${subnqn} has no namespace`);
  }
  return { device, close: () => controller.close() };
}
