/** The well-known name of every discovery subsystem. */
export const DISCOVERY_NQN = 'nqn.2014-08.org.nvmexpress.discovery';

const NQN_BYTES_MAX = 223;

/**
 * NVMe base spec section 4.7: `nqn.yyyy-mm.<reversed domain>:<string>`, at most 223 bytes of UTF-8. The string may hold
 * anything but the zero that ends it on the wire.
 */
export function isValidNqn(text: string): boolean {
  return (
    Buffer.byteLength(text) <= NQN_BYTES_MAX && /^nqn\.\d{4}-\d{2}\.[^\s:\0]+(:[^\0]+)?$/.test(text)
  );
}
