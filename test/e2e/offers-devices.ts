import type { NodeView } from '@lariat/contracts';

/** Whether volumes can be block devices on the node. */
export const offersDevices = ({ frontends }: Pick<NodeView, 'frontends'>): boolean =>
  frontends.some(
    ({ frontend, available }) => available && (frontend === 'kernel' || frontend === 'loop'),
  );
