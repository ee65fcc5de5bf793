import type { NodeView } from '@lariat/contracts';

type Texts = Readonly<Record<string, string>>;

export const DRIVER_NAME = 'csi.lariat.io';
/** Where a node is. A volume can be used on every node of its cluster: none is kept from a pod by these. */
export const TOPOLOGY = Object.freeze({
  zone: `topology.${DRIVER_NAME}/zone`,
  node: `topology.${DRIVER_NAME}/node`,
} as const);

export const segmentsOf = ({ name, zone }: Pick<NodeView, 'name' | 'zone'>): Texts => ({
  [TOPOLOGY.zone]: zone,
  [TOPOLOGY.node]: name,
});

/** Whether a node is in all of the segments; those of other keys are not this plugin's to judge, and match nothing. */
export function isIn(node: Pick<NodeView, 'name' | 'zone'>, segments: Texts): boolean {
  const own = segmentsOf(node);
  return Object.entries(segments).every(([key, value]) => own[key] === value);
}
