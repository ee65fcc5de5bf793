import {
  delay,
  isRetryable,
  toLariatError,
  type KeyedQueue,
  type LariatError,
} from '@lariat/kernel';
import type { EngineReportRequest } from '@lariat/contracts';
import type { OwnedLeg, OwnedRaid } from '../domain/ownership.js';
import type { ControlPlanePort } from '../ports/control-plane.port.js';
import type { LogPort } from '../ports/log.port.js';
import type { Engines } from './engines.js';
import type { Frontends } from './frontends.js';

export interface LossReporterParts {
  readonly node: string;
  readonly controlPlane: ControlPlanePort;
  readonly engines: Engines;
  readonly frontends: Pick<Frontends, 'stop'>;
  readonly queue: KeyedQueue;
  readonly log: LogPort;
}

const RETRY_MS = 300;
/** A refusal is not going to change soon; it is said again in case the volume's record does. */
const REFUSED_RETRY_MS = 5_000;

/**
 * Tells the volume's record of lost legs until it is accepted, and only then lets go of them. An engine that is not
 * the volume's any more is stopped.
 */
export class LossReporter {
  private readonly pursued = new Set<string>();
  private readonly stopping = new AbortController();

  constructor(private readonly parts: LossReporterParts) {}

  /** Starts to report this engine's lost legs, unless that goes on already. */
  pursue(volume: string, epoch: number): void {
    const key = `${volume}/${epoch}`;
    if (this.pursued.has(key) || this.stopping.signal.aborted) return;
    this.pursued.add(key);
    void this.persist(volume, epoch).finally(() => this.pursued.delete(key));
  }

  /** One report; rejects when it was not accepted. */
  async reportOnce(record: OwnedRaid): Promise<void> {
    await this.parts.controlPlane.reportEngine(reportOf(this.parts.node, record));
  }

  stop(): void {
    this.stopping.abort();
  }

  private async persist(volume: string, epoch: number): Promise<void> {
    const { engines, log } = this.parts;
    while (!this.stopping.signal.aborted) {
      const record = engines.recordOf(volume);
      if (record === undefined || record.epoch !== epoch) return;
      const lost = record.params.legs.filter((leg) => leg.state === 'lost');
      if (lost.length === 0) return;
      let waitMs = RETRY_MS;
      try {
        await this.reportOnce(record);
        await this.letGo(volume, epoch, lost);
      } catch (reason) {
        const error = toLariatError(reason);
        if (error.code === 'EPOCH_STALE') return this.giveUp(volume, epoch, error);
        if (!isRetryable(error.kind)) waitMs = REFUSED_RETRY_MS;
        log.warn('lost legs not settled yet', { volume, epoch, error: error.message });
        await delay(waitMs, this.stopping.signal);
      }
    }
  }

  /** The volume was taken from this node: what its engine holds is never acknowledged, and no one reads here any more. */
  private async giveUp(volume: string, epoch: number, error: LariatError): Promise<void> {
    const { engines, frontends, queue, log } = this.parts;
    log.warn('engine locked out', { volume, epoch, error: error.message });
    await queue.run(`volume/${volume}`, async () => {
      if (engines.recordOf(volume)?.epoch !== epoch) return;
      await frontends.stop(volume, 'forced');
      await engines.tearDown(volume);
    });
  }

  private async letGo(volume: string, epoch: number, lost: readonly OwnedLeg[]): Promise<void> {
    const { engines, queue, log } = this.parts;
    await queue.run(`volume/${volume}`, async () => {
      const record = engines.recordOf(volume);
      if (record?.epoch !== epoch) return;
      for (const { replica, uuid } of lost) {
        const leg = record.params.legs.find((other) => other.replica === replica);
        // A replica that has come back meanwhile, with a new head, is not the one whose loss was recorded.
        if (leg?.state === 'lost' && leg.uuid === uuid) await engines.dropLeg(volume, replica);
      }
    });
    log.info('lost legs recorded', { volume, epoch, replicas: lost.map(({ replica }) => replica) });
  }
}

/** What an engine's record says of its legs, as the services are told it. */
export const reportOf = (node: string, record: OwnedRaid): EngineReportRequest => ({
  node,
  ...engineReport(record),
});

/** The engine as it is on record: its members, and what it has lost. */
export function engineReport(record: OwnedRaid): Omit<EngineReportRequest, 'node'> {
  const { legs } = record.params;
  return {
    volume: record.name,
    epoch: record.epoch,
    operational: legs.filter((leg) => leg.state === 'member').map((leg) => leg.replica),
    lost: legs
      .filter((leg) => leg.state === 'lost')
      .map((leg) => ({ replica: leg.replica, reason: leg.reason ?? 'lost' })),
  };
}
