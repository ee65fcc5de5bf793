import type { Backoff } from '@lariat/kernel';
import type { AllowList } from '../../domain/address-guard.js';
import type { RetryPolicy } from '../../domain/download.js';
import type { RateLimits } from '../../domain/rate-guard.js';

export interface ProxySettings {
  readonly httpProxy: string;
  /** Empty: the same as for http. */
  readonly httpsProxy: string;
  /** Hosts that are reached without one, as the NO_PROXY variable lists them. */
  readonly noProxy: string;
}

export interface HttpSettings {
  /** Not public, and allowed nevertheless. */
  readonly allowedAddresses: AllowList;
  readonly proxy: ProxySettings;
  readonly maxBytes: number;
  readonly maxRedirects: number;
  readonly connectTimeoutMs: number;
  /** Until the headers of an answer are there. */
  readonly answerTimeoutMs: number;
  /** Between two pieces of a body. */
  readonly idleTimeoutMs: number;
  readonly rate: RateLimits;
  readonly retry: RetryPolicy;
  readonly backoff: Backoff;
  /** PEM certificates to trust beside those of the system. */
  readonly extraCa?: string;
}

export const DEFAULT_HTTP_SETTINGS = {
  maxRedirects: 10,
  connectTimeoutMs: 10_000,
  answerTimeoutMs: 30_000,
  idleTimeoutMs: 30_000,
  // 16 KiB/s: slower than any link on which an image would be fetched.
  rate: { minBytesPerSecond: 16 * 1024, windowMs: 60_000 },
  retry: { maxFailures: 8, maxFailuresAtStart: 4, progressBytes: 1024 * 1024 },
  backoff: { initialMs: 500, maxMs: 30_000, factor: 2 },
} as const satisfies Partial<HttpSettings>;

/** The defaults for servers that may be silent for so long, and then are tried again after at most that. */
export function httpSettingsFor(patienceMs: number) {
  const { connectTimeoutMs, rate, backoff } = DEFAULT_HTTP_SETTINGS;
  return {
    ...DEFAULT_HTTP_SETTINGS,
    connectTimeoutMs: Math.min(connectTimeoutMs, patienceMs),
    answerTimeoutMs: patienceMs,
    idleTimeoutMs: patienceMs,
    rate: { ...rate, windowMs: 2 * patienceMs },
    backoff: { ...backoff, maxMs: patienceMs },
  };
}

/** The proxy variables as curl reads them: the names in small letters come first. */
export function proxyFromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): ProxySettings {
  const of = (name: string): string => env[name] ?? env[name.toUpperCase()] ?? '';
  const all = of('all_proxy');
  return {
    httpProxy: of('http_proxy') || all,
    httpsProxy: of('https_proxy') || all,
    noProxy: of('no_proxy'),
  };
}
