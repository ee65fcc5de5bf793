import {
  lariatError,
  volumeNqn,
  type Frontend,
  type FrontendOffer,
  type NvmfEndpoint,
} from '@lariat/contracts';
import { whyNot } from '../domain/frontend-offers.js';
import type { OwnedSubsystem } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { CommandHandlers, HandlersOf } from './command-handlers.js';
import type { Exports } from './exports.js';
import type { Frontends } from './frontends.js';
import type { LoopFrontends } from './loop-frontends.js';

const DRIVEN: ReadonlySet<Frontend> = new Set(['nvmf', 'nbd', 'loop']);

/** What of a machine's offers this agent makes use of. */
export const drivenOf = (offers: readonly FrontendOffer[]): readonly FrontendOffer[] =>
  offers.map((offer) =>
    !offer.available || DRIVEN.has(offer.frontend)
      ? offer
      : { ...offer, available: false, reason: 'this agent does not drive it yet' },
  );

/** Commands on the way a volume is used on this node. */
export function frontendCommands(
  journal: JournalPort,
  exports: Exports,
  frontends: Frontends,
  loops: LoopFrontends,
  target: TargetPort,
  offers: readonly FrontendOffer[],
): HandlersOf<'frontend'> {
  /** The volume's export, when the engine runs here at this epoch. */
  function exportOf(volume: string, epoch: number): OwnedSubsystem {
    const record = journal.owned('subsystem', volumeNqn(volume));
    if (record !== undefined && record.epoch === epoch) return record;
    throw lariatError(
      'VOLUME_NOT_ATTACHED',
      `this node exports no volume ${volume} at epoch ${epoch}; start its engine first`,
    );
  }

  async function admitAnyHost(record: OwnedSubsystem, allowAnyHost: boolean): Promise<void> {
    const changed = { ...record, params: { ...record.params, allowAnyHost } };
    await journal.putOwned(changed);
    await exports.apply(changed);
  }

  const start: CommandHandlers['frontend.start'] = async (input, context) => {
    const { volume, epoch, frontend, endpoint } = input;
    const why = whyNot(offers, frontend);
    if (why !== undefined) {
      const others = offers.flatMap((offer) => (offer.available ? [offer.frontend] : []));
      throw lariatError(
        'FRONTEND_UNSUPPORTED',
        `frontend '${frontend}' is not offered on this node: ${why}. Use ${others.join(' or ')}`,
      );
    }
    if (frontend === 'nbd') {
      const uri = await frontends.startNbd(volume, epoch, endpoint, context.operation);
      return { endpoint: uri };
    }
    if (frontend === 'loop') {
      const { blockSizeBytes } = await target.spdk().bdev.getBdev(volume);
      await frontends.startNbd(volume, epoch, endpoint, context.operation, 'loop');
      const served = journal.owned('frontend', volume);
      if (served === undefined) throw new Error(`the frontend of ${volume} is not on record`);
      return { endpoint: await loops.ensure(served, blockSizeBytes) };
    }
    const record = exportOf(volume, epoch);
    await frontends.note({
      kind: 'frontend',
      name: volume,
      uuid: endpoint.uuid,
      owner: volume,
      volume,
      operation: context.operation,
      epoch,
      params: { frontend, endpoint, socketPath: null, process: null },
    });
    await admitAnyHost(record, true);
    return { endpoint: nvmeUri(endpoint) };
  };

  const users: CommandHandlers['frontend.users'] = async ({ volume }) => ({
    users: await loops.usersOf(volume),
  });

  const stop: CommandHandlers['frontend.stop'] = async ({ volume, force = false }) => {
    const record = journal.owned('frontend', volume);
    const subsystem = journal.owned('subsystem', volumeNqn(volume));
    if (record?.params.frontend === 'nvmf' && subsystem !== undefined) {
      await admitAnyHost(subsystem, false);
    }
    await frontends.stop(volume, force ? 'forced' : 'unused');
    return {};
  };

  return { 'frontend.start': start, 'frontend.users': users, 'frontend.stop': stop };
}

function nvmeUri({ traddr, trsvcid, nqn }: NvmfEndpoint): string {
  const host = traddr.includes(':') ? `[${traddr}]` : traddr;
  return `nvme+tcp://${host}:${trsvcid}/${nqn}`;
}
