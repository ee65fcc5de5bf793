/** What other processes of this run need to use the engine; plain data, as it is handed to test files. */
export interface EngineAccess {
  readonly environment: Readonly<Record<string, string>>;
  /** Has `node-1` and so on: what the agents' containers have as /var/lib/lariat; and `csi`, what the plugin's has as /csi. */
  readonly folder: string;
  /** The engine's first process, in whose namespaces its containers' processes are seen. */
  readonly pid: number;
  /** Where port 4222 of the engine's network is reached. */
  readonly natsSocket: string;
}
