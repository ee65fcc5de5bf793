import type { HostFacts } from '../domain/frontend-offers.js';

/** The machine that the agent runs on. */
export interface HostPort {
  /** Loads what kernel modules the frontends need, as far as there are any, and tells what there is then. */
  look(): Promise<HostFacts>;
}
