import type { RemovedNodeView, ReplicaThere } from '@lariat/contracts';

const replicas = (listed: readonly ReplicaThere[]): string =>
  listed.map(({ name, replica }) => `${name} (${replica})`).join(', ');

/** What is not the case is left out. */
export function removedNode({ name, removal }: RemovedNodeView): string {
  const { detached, dropped, lost, left, lostImages, orphans } = removal;
  const lines: readonly (readonly [string, string])[] = [
    ['detached', detached.join(', ')],
    ['taken off', replicas(dropped)],
    ['left to the operation on the volume', replicas(left)],
    ['out of reach until the node is back', replicas(lost)],
    ['images out of reach', lostImages.join(', ')],
    ['orphans forgotten', orphans === 0 ? '' : String(orphans)],
  ];
  return [
    `removed node ${name}`,
    ...lines.filter(([, what]) => what !== '').map(([title, what]) => `${title}: ${what}`),
  ].join('\n');
}
