import { type NodeRecord, type VolumeRecord, lariatError } from '@lariat/contracts';

/**
 * A replica joins a volume that is in use behind a gate. Throws where nothing can be one: the target of the node can't hold
 * writes, and the volume is not used through a device that can. Pure.
 */
export function requireGate(
  { id, name, attachment }: Pick<VolumeRecord, 'id' | 'name' | 'attachment'>,
  nodes: readonly Pick<NodeRecord, 'name' | 'target' | 'writeGate'>[],
): void {
  if (attachment === null || attachment.frontend === 'kernel') return;
  const node = nodes.find((one) => one.name === attachment.node);
  if (node?.writeGate !== 'device') return;
  throw lariatError(
    'GATE_MISSING',
    `Volume '${name}' is attached on ${node.name} with frontend '${attachment.frontend}', and the target there, ${node.target}, can't hold its writes while a replica joins. Detach it, or attach it with frontend 'kernel'; then rebuild it.`,
    { volume: id, node: node.name, frontend: attachment.frontend },
  );
}
