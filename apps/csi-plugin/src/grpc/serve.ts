import { fileURLToPath } from 'node:url';
import {
  type GrpcObject,
  Server,
  ServerCredentials,
  type ServiceClientConstructor,
  type UntypedHandleCall,
  loadPackageDefinition,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { Log, Metrics } from '@lariat/telemetry';
import type { Tracer } from '@opentelemetry/api';
import type { HandlersOf, ServiceCalls, ServiceName } from './messages.js';
import { clearSocket } from './socket-path.js';
import { unary } from './unary.js';

export interface ServeOptions {
  readonly socketPath: string;
  readonly services: { readonly [Name in ServiceName]?: HandlersOf<ServiceCalls[Name]> };
  readonly tracer: Tracer;
  readonly metrics: Metrics;
  readonly log: Log;
}

export interface RunningServer {
  /** Lets the calls that run end, as long as they have by then. */
  close(graceMs: number): Promise<void>;
}

const PROTO_PATH = fileURLToPath(new URL('../../proto/csi.proto', import.meta.url));

/** The clients that the package makes of csi.proto: they have the definitions, and tests call with them. */
export function csiClients(): Readonly<Record<ServiceName, ServiceClientConstructor>> {
  const definition = loadSync(PROTO_PATH, { longs: String, enums: String, defaults: true });
  const loaded = loadPackageDefinition(definition) as {
    readonly csi: { readonly v1: GrpcObject };
  };
  return loaded.csi.v1 as unknown as Readonly<Record<ServiceName, ServiceClientConstructor>>;
}

/** Serves on the socket. One that a dead process left is replaced; one that somebody serves on is not. */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const { socketPath, services, ...observed } = options;
  await clearSocket(socketPath);
  const server = new Server();
  const clients = csiClients();
  for (const [name, handlers] of Object.entries(services)) {
    const calls = Object.entries(handlers).map(([call, handle]): [string, UntypedHandleCall] => [
      call,
      unary(`csi.v1.${name}/${call}`, handle as never, observed),
    ]);
    server.addService(clients[name as ServiceName].service, Object.fromEntries(calls));
  }
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return {
    close: (graceMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.forceShutdown(), graceMs);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
}
