import type { RecoveredImage, RecoveredVolume, RecoveryReport } from '@lariat/contracts';
import { formatBytes } from '@lariat/kernel';
import { formatTable } from './table.js';

/** A recovery's report for a person: what it did or would do, image by image and volume by volume, and why. */
export function recoveryText(report: RecoveryReport): string {
  const { volumes, omittedVolumes, images, omittedImages } = report;
  const parts = [headline(report), silentNodes(report)];
  if (images.length > 0) {
    parts.push(imageTable(images));
    if (omittedImages > 0) parts.push(`and ${omittedImages} more images`);
    parts.push(notesOf(images));
  }
  if (volumes.length > 0) {
    parts.push(volumeTable(volumes));
    if (omittedVolumes > 0) parts.push(`and ${omittedVolumes} more`);
    parts.push(notesOf(volumes));
  }
  parts.push(nextStep(report));
  return parts.filter((part) => part !== '').join('\n\n');
}

function headline({
  dryRun,
  changed,
  onRecord,
  imagesOnRecord,
  volumes,
  images,
  names,
  allocations,
}: RecoveryReport): string {
  const inPlace = `${onRecord} volume(s) and ${imagesOnRecord} image(s) are on record as they should be`;
  if (!changed) return `${inPlace}; nothing ${dryRun ? 'would change' : 'was changed'}.`;
  const count = (outcome: RecoveredVolume['outcome']): number =>
    [...volumes, ...images].filter((one) => one.outcome === outcome).length;
  const done = [
    `${count('recovered')} recovered`,
    `${count('in-doubt')} in doubt`,
    `${count('not-recovered')} not recovered`,
    `${names} name(s)`,
    `${allocations} allocation(s)`,
  ].join(', ');
  return `${dryRun ? 'would be: ' : ''}${done}; ${inPlace}.`;
}

function silentNodes({ nodes }: RecoveryReport): string {
  const silent = nodes.filter(({ answered }) => !answered);
  return silent.map(({ node, reason }) => `node ${node} does not answer: ${reason}`).join('\n');
}

function volumeTable(volumes: readonly RecoveredVolume[]): string {
  return formatTable<RecoveredVolume>(
    [
      { title: 'VOLUME', value: ({ name }) => name },
      { title: 'OUTCOME', value: ({ outcome }) => outcome },
      { title: 'STATE', value: ({ state }) => state ?? '' },
      { title: 'ROBUSTNESS', value: ({ robustness }) => robustness },
      { title: 'SIZE', align: 'right', value: ({ sizeBytes }) => formatBytes(sizeBytes) },
      { title: 'SNAPSHOTS', align: 'right', value: ({ snapshots }) => String(snapshots) },
      {
        title: 'REPLICAS',
        value: ({ replicas }) => replicas.map(({ node, mode }) => `${node}:${mode}`).join(' '),
      },
    ],
    volumes,
  );
}

function imageTable(images: readonly RecoveredImage[]): string {
  return formatTable<RecoveredImage>(
    [
      { title: 'IMAGE', value: ({ name }) => name },
      { title: 'OUTCOME', value: ({ outcome }) => outcome },
      { title: 'STATE', value: ({ state }) => state ?? '' },
      { title: 'SIZE', align: 'right', value: ({ sizeBytes }) => formatBytes(sizeBytes) },
      {
        title: 'COPIES',
        value: ({ copies }) => copies.map(({ node, state }) => `${node}:${state}`).join(' '),
      },
    ],
    images,
  );
}

const notesOf = (all: readonly Pick<RecoveredVolume, 'name' | 'notes'>[]): string =>
  all
    .filter(({ notes }) => notes.length > 0)
    .map(({ name, notes }) => [`${name}:`, ...notes.map((note) => `  ${note}`)].join('\n'))
    .join('\n');

function nextStep({ dryRun, changed, volumes, images }: RecoveryReport): string {
  const lines: string[] = [];
  if (volumes.some(({ outcome }) => outcome === 'in-doubt'))
    lines.push(
      "A volume in doubt can't be used: bring the nodes that are named back and run 'lariat recover' again, or take what there is with --accept-data-loss VOLUME.",
    );
  if (images.some(({ outcome }) => outcome === 'in-doubt'))
    lines.push(
      "An image in doubt may have been deleted, and is not put back: bring the nodes that are named back and run 'lariat recover' again, or have it back with --accept-data-loss IMAGE.",
    );
  if (dryRun && changed) lines.push("Nothing was changed: 'lariat recover' does it.");
  return lines.join('\n');
}
