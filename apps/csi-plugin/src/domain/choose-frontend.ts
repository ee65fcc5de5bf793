import { Frontend, type FrontendOffer, type NodeView } from '@lariat/contracts';
import { Refusal } from './refusal.js';

/** Those that make block devices, the quicker one first. */
const PREFERRED: readonly Frontend[] = [Frontend.kernel, Frontend.loop];

/** How a volume is to be used on a node: as its class says, else by the first block device that the node can make. */
export function chooseFrontend(
  { name, frontends }: Pick<NodeView, 'name' | 'frontends'>,
  asked: string | undefined,
): Frontend {
  const wanted = Object.values(Frontend).find((frontend) => frontend === asked);
  const candidates = wanted === undefined ? PREFERRED : [wanted];
  const found = candidates.find((frontend) => whyNot(frontends, frontend) === undefined);
  if (found !== undefined) return found;
  const reasons = candidates.map((frontend) => `${frontend}: ${whyNot(frontends, frontend)}`);
  throw new Refusal(
    'FAILED_PRECONDITION',
    `Node '${name}' can make no block device of a volume (${reasons.join('; ')}).`,
  );
}

function whyNot(offers: readonly FrontendOffer[], frontend: Frontend): string | undefined {
  const offer = offers.find((one) => one.frontend === frontend);
  if (offer === undefined) return 'its agent does not offer it';
  return offer.available ? undefined : (offer.reason ?? 'not available');
}
