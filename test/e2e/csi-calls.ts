import { credentials, type ServiceError } from '@grpc/grpc-js';
import { csiClients } from '@lariat/csi-plugin';

/** How a call ended: `OK`, or the number of its code with the message. */
export interface CallEnd {
  readonly code: number;
  readonly message: string;
  readonly answer: Readonly<Record<string, unknown>>;
}

export interface CsiCaller {
  call(
    service: 'Controller' | 'Node',
    name: string,
    request: object,
    deadlineMs?: number,
  ): Promise<CallEnd>;
  close(): void;
}

type Method = (
  request: object,
  options: { readonly deadline: number },
  done: (error: ServiceError | null, answer: Readonly<Record<string, unknown>>) => void,
) => void;

/** Calls as a container orchestrator makes them, over the plugin's socket. */
export function csiCaller(socketPath: string): CsiCaller {
  const { Controller, Node } = csiClients();
  const target = `unix:${socketPath}`;
  const clients = {
    Controller: new Controller(target, credentials.createInsecure()),
    Node: new Node(target, credentials.createInsecure()),
  };
  return {
    call: (service, name, request, deadlineMs = 60_000) =>
      new Promise((resolve) => {
        const client = clients[service] as unknown as Readonly<Record<string, Method>>;
        const deadline = Date.now() + deadlineMs;
        client[name]?.(request, { deadline }, (error, answer) =>
          resolve({ code: error?.code ?? 0, message: error?.details ?? '', answer: answer ?? {} }),
        );
      }),
    close: () => {
      clients.Controller.close();
      clients.Node.close();
    },
  };
}
