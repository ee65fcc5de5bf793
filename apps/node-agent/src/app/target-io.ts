import type { BdevIo } from '@lariat/spdk';
import { METRICS, type Metrics, type Reading } from '@lariat/telemetry';
import { aioName } from '../domain/names.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';

export interface TargetIoParts {
  readonly node: string;
  readonly journal: Pick<JournalPort, 'ownedOfKind'>;
  readonly target: Pick<TargetPort, 'spdk'>;
  readonly metrics: Metrics;
}

/** All that is asked for at one moment is one call of the target. */
const SAME_MOMENT_MS = 500;

type OfVolumes =
  | typeof METRICS.volumeIo
  | typeof METRICS.volumeOperations
  | typeof METRICS.volumeIoTime;

/** Tells what goes through the engines and disks of this node, as the target counts it. */
export function observeTargetIo({ node, journal, target, metrics }: TargetIoParts): void {
  let asked: Promise<ReadonlyMap<string, BdevIo>> | undefined;
  let askedAtMs = 0;
  const stats = (): Promise<ReadonlyMap<string, BdevIo>> => {
    if (asked === undefined || performance.now() - askedAtMs > SAME_MOMENT_MS) {
      askedAtMs = performance.now();
      asked = byName(target);
    }
    return asked;
  };
  const ofVolumes =
    (read: (io: BdevIo) => number, write: (io: BdevIo) => number): Reading<OfVolumes> =>
    async () => {
      const found = await stats();
      return journal.ownedOfKind('raid').flatMap(({ name, owner, volume }) => {
        const io = found.get(name);
        const about = { 'node.id': node, 'volume.id': volume ?? owner };
        return io === undefined ? [] : bothWays(about, read(io), write(io));
      });
    };
  metrics.observe(
    METRICS.volumeIo,
    ofVolumes(
      ({ readBytes }) => readBytes,
      ({ writtenBytes }) => writtenBytes,
    ),
  );
  metrics.observe(
    METRICS.volumeOperations,
    ofVolumes(
      ({ reads }) => reads,
      ({ writes }) => writes,
    ),
  );
  metrics.observe(
    METRICS.volumeIoTime,
    ofVolumes(
      ({ readSeconds }) => readSeconds,
      ({ writeSeconds }) => writeSeconds,
    ),
  );
  metrics.observe(METRICS.diskIo, async () => {
    const found = await stats();
    return journal.ownedOfKind('disk').flatMap(({ owner: disk }) => {
      const io = found.get(aioName(disk));
      const about = { 'node.id': node, 'disk.id': disk };
      return io === undefined ? [] : bothWays(about, io.readBytes, io.writtenBytes);
    });
  });
}

async function byName(target: Pick<TargetPort, 'spdk'>): Promise<ReadonlyMap<string, BdevIo>> {
  const stats = await target.spdk().bdev.ioStats();
  return new Map(stats.map((io) => [io.name, io]));
}

function bothWays<About>(
  about: About,
  read: number,
  write: number,
): readonly {
  readonly attributes: About & { readonly direction: string };
  readonly value: number;
}[] {
  return [
    { attributes: { ...about, direction: 'read' }, value: read },
    { attributes: { ...about, direction: 'write' }, value: write },
  ];
}
