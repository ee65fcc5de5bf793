import { Frontend, type NodeView } from '@lariat/contracts';
import { Refusal } from './refusal.js';

/** Those that make block devices, the quicker one first. */
const PREFERRED: readonly Frontend[] = [Frontend.kernel, Frontend.loop];

/** What a node's agent tells of one frontend: its name where it is available, or the offer with the reason against it. */
type Offer =
  | string
  | {
      readonly frontend: string;
      readonly available: boolean;
      readonly reason: string | null;
    };

/** How a volume is to be used on a node: as its class says, else by the first block device that the node can make. */
export function chooseFrontend(
  { name, frontends }: Pick<NodeView, 'name' | 'frontends'>,
  asked: string | undefined,
): Frontend {
  const offers = frontends as readonly Offer[];
  const wanted = Object.values(Frontend).find((frontend) => frontend === asked);
  const candidates = wanted === undefined ? PREFERRED : [wanted];
  const found = candidates.find((frontend) => whyNot(offers, frontend) === undefined);
  if (found !== undefined) return found;
  const reasons = candidates.map((frontend) => `${frontend}: ${whyNot(offers, frontend)}`);
  throw new Refusal(
    'FAILED_PRECONDITION',
    `Node '${name}' can make no block device of a volume (${reasons.join('; ')}).`,
  );
}

function whyNot(offers: readonly Offer[], frontend: Frontend): string | undefined {
  for (const offer of offers) {
    if (typeof offer === 'string') {
      if (offer === frontend) return undefined;
    } else if (offer.frontend === frontend) {
      return offer.available ? undefined : (offer.reason ?? 'not available');
    }
  }
  return 'its agent does not offer it';
}
