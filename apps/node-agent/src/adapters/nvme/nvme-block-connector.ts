import { LariatError } from '@lariat/kernel';
import { NvmeTcpHost } from '@lariat/nvme-tcp';
import type {
  BlockConnectorPort,
  ConnectedDevice,
  ConnectOptions,
} from '../../ports/block-connector.port.js';

/** The namespace of an endpoint, through this process's own NVMe/TCP host. */
export const nvmeBlockConnector: BlockConnectorPort = {
  async connect(options: ConnectOptions): Promise<ConnectedDevice> {
    const { endpoint, hostNqn, ctrlrLossTimeoutMs } = options;
    const controller = await NvmeTcpHost.connect({
      traddr: endpoint.traddr,
      trsvcid: endpoint.trsvcid,
      subnqn: endpoint.nqn,
      hostnqn: hostNqn,
      reconnectDelayMs: 200,
      ctrlrLossTimeoutMs,
    });
    const namespace = controller.namespaces().find(({ uuid }) => uuid === endpoint.uuid);
    if (namespace === undefined) {
      await controller.close();
      // Not lariatError: NBD servers load this file, and must start without the contracts' validators.
      throw new LariatError({
        kind: 'unavailable',
        code: 'LEG_UNREACHABLE',
        message: `${endpoint.nqn} at ${endpoint.traddr}:${endpoint.trsvcid} has no namespace ${endpoint.uuid}`,
      });
    }
    return {
      uuid: namespace.uuid,
      blockSizeBytes: namespace.blockSizeBytes,
      get sizeBytes() {
        return namespace.sizeBytes;
      },
      read: (offsetBytes, lengthBytes) => namespace.read(offsetBytes, lengthBytes),
      write: (offsetBytes, data) => namespace.write(offsetBytes, data),
      writeZeroes: (offsetBytes, lengthBytes) => namespace.writeZeroes(offsetBytes, lengthBytes),
      unmap: (offsetBytes, lengthBytes) => namespace.unmap(offsetBytes, lengthBytes),
      flush: () => namespace.flush(),
      refresh: () => controller.refreshNamespaces(),
      close: () => controller.close(),
    };
  },
};
