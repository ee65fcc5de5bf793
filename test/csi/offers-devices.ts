import type { NodeView } from '@lariat/contracts';

interface Offer {
  readonly frontend: string;
  readonly available: boolean;
}

/** Whether volumes can be block devices on the node. */
export function offersDevices({ frontends }: Pick<NodeView, 'frontends'>): boolean {
  const isDevice = (frontend: string): boolean => frontend === 'kernel' || frontend === 'loop';
  return (frontends as readonly (string | Offer)[]).some((offer) =>
    typeof offer === 'string' ? isDevice(offer) : offer.available && isDevice(offer.frontend),
  );
}
