import type { NodeRecord, ReplicaRecord } from '@lariat/contracts';

/** Whether a faulted replica's node is ready and has its disk: then it is asked what it still has. Pure. */
export function isBackOn(
  nodes: readonly Pick<NodeRecord, 'name' | 'state' | 'disks'>[],
): (replica: Pick<ReplicaRecord, 'node' | 'disk'>) => boolean {
  return ({ node: name, disk }) => {
    const node = nodes.find((candidate) => candidate.name === name);
    return node?.state === 'ready' && node.disks.some(({ id }) => id === disk);
  };
}
