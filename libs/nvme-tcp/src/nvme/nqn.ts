/** The well-known name of every discovery subsystem. */
export const DISCOVERY_NQN = 'nqn.2014-08.org.nvmexpress.discovery';

const NQN_LENGTH_MAX = 223;

/** NVMe base spec section 4.7: `nqn.yyyy-mm.<reversed domain>:<string>`, at most 223 bytes. */
export function isValidNqn(text: string): boolean {
  return text.length <= NQN_LENGTH_MAX && /^nqn\.\d{4}-\d{2}\.[^\s:\0]+(:[^\0\s]+)?$/.test(text);
}
