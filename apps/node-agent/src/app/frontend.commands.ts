import { lariatError, volumeNqn, type Frontend, type NvmfEndpoint } from '@lariat/contracts';
import type { OwnedSubsystem } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { CommandHandlers, HandlersOf } from './command-handlers.js';
import type { Exports } from './exports.js';
import type { Frontends } from './frontends.js';

/** Why this agent does not offer a frontend; absent for those that it does. */
const UNSUPPORTED: Partial<Readonly<Record<Frontend, string>>> = {
  kernel: 'it needs the nvme-tcp and device-mapper modules, which this agent does not drive yet',
  loop: 'it needs nbdfuse and a loop device, which this agent does not drive yet',
};

export const SUPPORTED_FRONTENDS: readonly Frontend[] = ['nvmf', 'nbd'];

/** Commands on the way a volume is used on this node. */
export function frontendCommands(
  journal: JournalPort,
  exports: Exports,
  frontends: Frontends,
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
    const why = UNSUPPORTED[frontend];
    if (why !== undefined) {
      throw lariatError(
        'FRONTEND_UNSUPPORTED',
        `frontend '${frontend}' is not offered on this node: ${why}. Use ${SUPPORTED_FRONTENDS.join(' or ')}`,
      );
    }
    if (frontend === 'nbd') {
      const uri = await frontends.startNbd(volume, epoch, endpoint, context.operation);
      return { endpoint: uri };
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

  const stop: CommandHandlers['frontend.stop'] = async ({ volume }) => {
    const record = journal.owned('frontend', volume);
    const subsystem = journal.owned('subsystem', volumeNqn(volume));
    if (record?.params.frontend === 'nvmf' && subsystem !== undefined) {
      await admitAnyHost(subsystem, false);
    }
    await frontends.stop(volume);
    return {};
  };

  return { 'frontend.start': start, 'frontend.stop': stop };
}

function nvmeUri({ traddr, trsvcid, nqn }: NvmfEndpoint): string {
  const host = traddr.includes(':') ? `[${traddr}]` : traddr;
  return `nvme+tcp://${host}:${trsvcid}/${nqn}`;
}
