/** SPDK_NVMF_NQN_MAX_LEN (include/spdk/nvmf_spec.h). */
const MAX_NQN_BYTES = 223;

export const DISCOVERY_NQN = 'nqn.2014-08.org.nvmexpress.discovery';

const UUID_NQN_PREFIX = 'nqn.2014-08.org.nvmexpress:uuid:';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** Labels begin with a letter and end with a letter or digit; what follows the colon is free, but not empty. */
const NAMED_NQN =
  /^nqn\.\d{4}-\d{2}\.[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*:[^\0]+$/;

/** The rules of nvmf_nqn_is_valid (lib/nvmf/subsystem.c). */
export function isNqn(text: string): boolean {
  if (Buffer.byteLength(text) > MAX_NQN_BYTES) return false;
  if (text === DISCOVERY_NQN) return true;
  if (text.startsWith(UUID_NQN_PREFIX)) return UUID.test(text.slice(UUID_NQN_PREFIX.length));
  return NAMED_NQN.test(text);
}
