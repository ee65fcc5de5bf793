import { type CommandMap, type CommandName, type NvmfEndpoint } from '@lariat/contracts';
import { newOperationId } from '@lariat/kernel';
import { CommandClient } from '@lariat/messaging';
import { type HostNamespace, NvmeTcpHost } from '@lariat/nvme-tcp';
import { createTelemetry } from '@lariat/telemetry';
import type { NatsConnection } from '@nats-io/nats-core';

export type SendToNode = <Name extends CommandName>(
  node: string,
  command: Name,
  input: CommandMap[Name]['input'],
  options?: { readonly operation?: string; readonly timeoutMs?: number },
) => Promise<CommandMap[Name]['output']>;

/** Commands to agents, as a service's saga sends them; each is an operation of its own unless that is said. */
export function nodeCommands(connection: NatsConnection): SendToNode {
  const { tracer } = createTelemetry({
    serviceName: 'e2e',
    serviceVersion: '1',
    instanceId: 'e2e',
    sink: () => undefined,
  });
  const client = new CommandClient(connection, 'inst-e2e', tracer);
  let sent = 0;
  return (node, command, input, { operation = newOperationId(), timeoutMs = 30_000 } = {}) => {
    sent += 1;
    return client.send(node, {
      ...{ id: `${operation}/${sent}/${node}`, command, operation, step: command, fence: 1, input },
      deadlineAtMs: Date.now() + timeoutMs,
    });
  };
}

/** A namespace of a node's target, as any NVMe/TCP host has it. */
export async function whileAttached<T>(
  endpoint: NvmfEndpoint,
  hostnqn: string,
  use: (device: HostNamespace) => Promise<T>,
): Promise<T> {
  const { traddr, trsvcid, nqn: subnqn } = endpoint;
  const controller = await NvmeTcpHost.connect({
    ...{ traddr, trsvcid, subnqn, hostnqn, reconnectDelayMs: 100, ctrlrLossTimeoutMs: 20_000 },
  });
  try {
    const device = controller.namespaces().find(({ uuid }) => uuid === endpoint.uuid);
    if (device === undefined) throw new Error(`${subnqn} has no namespace ${endpoint.uuid}`);
    return await use(device);
  } finally {
    await controller.close();
  }
}
