import { lariatError } from '@lariat/contracts';
import type { LariatError } from '@lariat/kernel';

/** Codes of Node's TLS and OpenSSL that say that the other side cannot be trusted, now or later. */
const UNTRUSTED = /^(CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED|UNABLE_TO_|EPROTO)/;

/** The error for a connection that no other try would mend; null: it may be mended. */
export function refusalOfConnection(reason: unknown, url: URL): LariatError | null {
  const code = (reason as { code?: unknown } | null)?.code;
  if (typeof code !== 'string') return null;
  if (UNTRUSTED.test(code)) {
    return lariatError(
      'IMAGE_SOURCE_REFUSED',
      `${url.host} cannot be trusted (${code}); its certificate must be valid for this name, or its authority be trusted in the configuration`,
      { reason: code },
      reason,
    );
  }
  if (code === 'ENOTFOUND') {
    return lariatError(
      'IMAGE_SOURCE_NOT_FOUND',
      `there is no host named ${url.hostname}; check the url`,
      {},
      reason,
    );
  }
  return null;
}
