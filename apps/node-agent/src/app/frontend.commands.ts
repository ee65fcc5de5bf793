import {
  frontendHostNqn,
  lariatError,
  volumeNqn,
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
import type { DeviceLives } from './device-lives.js';

/** Commands on the way a volume is used on this node. */
export function frontendCommands(
  journal: JournalPort,
  exports: Exports,
  frontends: Frontends,
  devices: DeviceLives,
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

  /** Cuts all other hosts off; also where any host was let in. */
  async function admit(record: OwnedSubsystem, hosts: readonly string[]): Promise<void> {
    const { allowAnyHost: _allowAnyHost, ...params } = record.params;
    const changed = { ...record, params: { ...params, hosts } };
    await journal.putOwned(changed);
    await exports.apply(changed);
  }

  const start: CommandHandlers['frontend.start'] = async (input, context) => {
    const { volume, epoch, frontend, endpoint } = input;
    const { hostNqns = [frontendHostNqn(volume, epoch)] } = input;
    const why = whyNot(offers, frontend);
    if (why !== undefined) {
      const others = offers.flatMap((offer) => (offer.available ? [offer.frontend] : []));
      throw lariatError(
        'FRONTEND_UNSUPPORTED',
        `frontend '${frontend}' is not offered on this node: ${why}. Use ${others.join(' or ')}`,
      );
    }
    const attachment = { volume, epoch, frontend, endpoint, operation: context.operation };
    if (frontend === 'nbd') return { endpoint: await frontends.startNbd(attachment) };
    const record = exportOf(volume, epoch);
    if (frontend === 'nvmf') {
      await frontends.note(attachment);
      await admit(record, hostNqns);
      return { endpoint: nvmeUri(endpoint) };
    }
    const { blockSizeBytes } = await target.spdk().bdev.getBdev(record.params.bdevName);
    const device = { ...attachment, blockSizeBytes };
    if (frontend === 'loop') await frontends.startNbd(device);
    else await frontends.note(device);
    return { endpoint: await devices.ensure(volume) };
  };

  const users: CommandHandlers['frontend.users'] = async ({ volume }) => ({
    users: await devices.usersOf(volume),
  });

  const stop: CommandHandlers['frontend.stop'] = async ({ volume, force = false }) => {
    const record = journal.owned('frontend', volume);
    const subsystem = journal.owned('subsystem', volumeNqn(volume));
    if (record?.params.frontend === 'nvmf' && subsystem !== undefined) {
      await admit(subsystem, []);
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
