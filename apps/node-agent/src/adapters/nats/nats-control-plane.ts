import {
  heartbeatSubject,
  inventorySubject,
  progressSubject,
  type ClaimStoreRequest,
  type EngineReportRequest,
  type Heartbeat,
  type Inventory,
  type NodeRecord,
  type NodeRegistration,
  type ProgressReport,
} from '@lariat/contracts';
import { lariatError } from '@lariat/contracts';
import { encodeJson, LariatClient } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import type { ControlPlanePort } from '../../ports/control-plane.port.js';

const REQUEST_TIMEOUT_MS = 2_000;

/** Reports over NATS. Before the first connection, requests fail as unavailable and messages are dropped. */
export class NatsControlPlane implements ControlPlanePort {
  private client: LariatClient | undefined;

  constructor(private readonly node: string) {}

  use(connection: NatsConnection): void {
    this.client = new LariatClient({
      connection,
      actor: `node/${this.node}`,
      node: this.node,
    });
  }

  async register(registration: NodeRegistration): Promise<NodeRecord> {
    return this.connected().request('internal.node.register', registration, {
      timeoutMs: REQUEST_TIMEOUT_MS,
    });
  }

  async claimStore(request: ClaimStoreRequest): Promise<void> {
    await this.connected().request('internal.node.claim-store', request, {
      timeoutMs: REQUEST_TIMEOUT_MS,
    });
  }

  /** Has what this node's commands are taken from made. */
  async openCommands(): Promise<void> {
    await this.connected().request(
      'internal.node.open-commands',
      { node: this.node },
      { timeoutMs: REQUEST_TIMEOUT_MS },
    );
  }

  async reportEngine(report: EngineReportRequest): Promise<void> {
    await this.connected().request('internal.volume.report-engine', report, {
      timeoutMs: REQUEST_TIMEOUT_MS,
    });
  }

  heartbeat(heartbeat: Heartbeat): void {
    this.tell(heartbeatSubject(heartbeat.node), heartbeat);
  }

  inventory(inventory: Inventory): void {
    this.tell(inventorySubject(inventory.node), inventory);
  }

  progress(operation: string, report: ProgressReport): void {
    this.tell(progressSubject(this.node, operation), report);
  }

  private connected(): LariatClient {
    if (this.client !== undefined) return this.client;
    throw lariatError('NATS_UNAVAILABLE', 'there is no connection to NATS yet');
  }

  private tell(subject: string, message: unknown): void {
    const connection = this.client?.connection;
    if (connection === undefined || connection.isClosed()) return;
    connection.publish(subject, encodeJson(message));
  }
}
