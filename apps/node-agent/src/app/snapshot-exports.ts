import { type NvmfEndpoint, snapshotNqn } from '@lariat/contracts';
import type { OwnedSubsystem } from '../domain/ownership.js';
import type { ExportPlan, Exports } from './exports.js';
import type { Lvols } from './lvols.js';

interface SnapshotReference {
  readonly replica: string;
  readonly snapshot: string;
}

type OnVolume = SnapshotReference & { readonly volume: string };

/**
 * The exports of snapshots to other hosts. A bdev can't be exported twice, so there is one a snapshot, for a rebuild of the
 * replica elsewhere and for all who read it beside that; it goes with the last of them.
 */
export class SnapshotExports {
  constructor(
    private readonly lvols: Lvols,
    private readonly exports: Exports,
  ) {}

  /** For a rebuild: its destination alone, and not the one before; readers stay. */
  openToRebuild(of: OnVolume, hostNqn: string, operation: string): Promise<NvmfEndpoint> {
    return this.open(of, operation, (known) => {
      const readers = known?.params.readers ?? [];
      return { hosts: [hostNqn, ...readers], readers, isRebuilds: true };
    });
  }

  async endRebuild(of: SnapshotReference): Promise<void> {
    await this.exports.revise(nqnOf(of), (known) => {
      const readers = known?.params.readers ?? [];
      return withUsers(known, { hosts: readers, readers, isRebuilds: false });
    });
  }

  /** Lets one more host read it. */
  admit(of: OnVolume, hostNqn: string, operation: string): Promise<NvmfEndpoint> {
    return this.open(of, operation, (known) => ({
      hosts: withHost(known?.params.hosts ?? [], hostNqn),
      readers: withHost(known?.params.readers ?? [], hostNqn),
      isRebuilds: known !== undefined && isRebuilds(known),
    }));
  }

  /** Ends what `admit` gave. */
  async dismiss(of: SnapshotReference, hostNqn: string): Promise<void> {
    const others = (hosts: readonly string[]): readonly string[] =>
      hosts.filter((host) => host !== hostNqn);
    await this.exports.revise(nqnOf(of), (known) =>
      withUsers(known, {
        hosts: others(known?.params.hosts ?? []),
        readers: others(known?.params.readers ?? []),
        isRebuilds: known !== undefined && isRebuilds(known),
      }),
    );
  }

  /** Cuts all readers off; true when a rebuild has the export, which then stays. */
  async endReaders(of: SnapshotReference): Promise<boolean> {
    let isKept = false;
    await this.exports.revise(nqnOf(of), (known) => {
      isKept = known !== undefined && isRebuilds(known);
      return isKept ? undefined : null;
    });
    return isKept;
  }

  private async open(
    of: OnVolume,
    operation: string,
    usersOf: (known: OwnedSubsystem | undefined) => Users,
  ): Promise<NvmfEndpoint> {
    const { replica, volume, snapshot } = of;
    const name = nqnOf(of);
    const { uuid } = await this.lvols.snapshot(replica, snapshot);
    await this.exports.revise(name, (known) => ({
      ...{ name, uuid, owner: replica, volume, operation, epoch: null },
      params: { role: 'snapshot' as const, bdevName: uuid, ...usersOf(known) },
    }));
    return this.exports.endpointOf(name, uuid);
  }
}

interface Users {
  readonly hosts: readonly string[];
  readonly readers: readonly string[];
  readonly isRebuilds: boolean;
}

const nqnOf = ({ replica, snapshot }: SnapshotReference): string => snapshotNqn(replica, snapshot);

const withHost = (hosts: readonly string[], host: string): readonly string[] =>
  hosts.includes(host) ? hosts : [...hosts, host];

/** One without readers was made for a rebuild. */
const isRebuilds = ({ params }: OwnedSubsystem): boolean =>
  params.readers === undefined || params.isRebuilds === true;

/** Null, to take it away, when nobody has a use for it: what this node itself read through it begins anew. */
function withUsers(known: OwnedSubsystem | undefined, users: Users): ExportPlan | null | undefined {
  if (users.readers.length === 0 && !users.isRebuilds) return null;
  if (known === undefined || known.uuid === null) return undefined;
  const { kind: _kind, uuid, ...plan } = known;
  return { ...plan, uuid, params: { ...known.params, ...users } };
}
