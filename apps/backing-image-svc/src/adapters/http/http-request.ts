import { lariatError } from '@lariat/contracts';
import type { Dispatcher } from 'undici';
import { blockedAddress, isAllowedAddress, literalAddress } from '../../domain/address-guard.js';
import {
  BreakReason,
  type DownloadStep,
  onResponse,
  type Position,
  rangeHeaders,
} from '../../domain/download.js';
import { redirectTarget } from '../../domain/source-url.js';
import type { HttpSettings } from './http-settings.js';
import { BrokenBody } from './timed-body.js';

export interface Answer {
  readonly step: Exclude<DownloadStep, { kind: 'redirect' }>;
  /** Ended already, unless the step is to deliver it. */
  readonly body: Dispatcher.ResponseData['body'];
}

export interface RequestTask {
  readonly url: URL;
  readonly position: Position;
  readonly dispatcher: Dispatcher;
  readonly settings: HttpSettings;
  readonly signal: AbortSignal;
}

/** One GET, with the redirects that it meets. Each try begins at the first url: a signed one may have run out. */
export async function requestFile(task: RequestTask): Promise<Answer> {
  const { settings } = task;
  let { url } = task;
  for (let hops = 0; hops <= settings.maxRedirects; hops += 1) {
    const { statusCode: status, headers, body } = await get(task, url);
    const step = onResponse(task.position, { status, headers: singleValues(headers) });
    if (step.kind === 'deliver') return { step, body };
    discard(body);
    if (step.kind !== 'redirect') return { step, body };
    url = redirectTarget(url, step.location);
  }
  throw lariatError(
    'IMAGE_REDIRECT_REFUSED',
    `${task.url.host} redirects more than ${settings.maxRedirects} times; give the url that it should lead to`,
  );
}

async function get(task: RequestTask, url: URL): Promise<Dispatcher.ResponseData> {
  const literal = literalAddress(url);
  // Only names are looked up: what is an address already would pass by the guard of look-ups.
  if (literal !== null && !isAllowedAddress(literal, task.settings.allowedAddresses))
    throw blockedAddress(url.host, [literal]);
  const { connectTimeoutMs, answerTimeoutMs } = task.settings;
  const timeoutMs = connectTimeoutMs + answerTimeoutMs;
  const stop = new AbortController();
  const stopped = new Promise<never>((_resolve, reject) => {
    stop.signal.addEventListener('abort', () => reject(stop.signal.reason as Error));
  });
  const cancel = (): void => stop.abort(task.signal.reason);
  task.signal.addEventListener('abort', cancel);
  const timer = setTimeout(() => {
    stop.abort(new BrokenBody(BreakReason.network, `no answer within ${timeoutMs} ms`));
  }, timeoutMs);
  // Raced as well: undici looks at the signal of a request only once there is a connection for it, and a proxy that
  // accepts and never answers gives it none.
  const request = task.dispatcher.request({ ...requestOf(task, url), signal: task.signal });
  try {
    return await Promise.race([request, stopped]);
  } catch (reason) {
    // What comes of it now is for nobody.
    request.then(
      ({ body }) => discard(body),
      () => undefined,
    );
    throw reason;
  } finally {
    clearTimeout(timer);
    task.signal.removeEventListener('abort', cancel);
  }
}

function requestOf(task: RequestTask, url: URL): Dispatcher.RequestOptions {
  return {
    origin: url.origin,
    path: `${url.pathname}${url.search}`,
    method: 'GET',
    headers: {
      'user-agent': 'lariat',
      accept: '*/*',
      // The sum is of the file as it is: nothing on the way may pack it.
      'accept-encoding': 'identity',
      ...credentials(task.url, url),
      ...rangeHeaders(task.position),
    },
    highWaterMark: 1024 * 1024,
  };
}

/** User and password of the url are for its own origin, never for where that redirects to. */
function credentials(given: URL, url: URL): Record<string, string> {
  if (given.username === '' || given.origin !== url.origin) return {};
  const pair = `${decodeURIComponent(given.username)}:${decodeURIComponent(given.password)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

function singleValues(
  headers: Dispatcher.ResponseData['headers'],
): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]),
  );
}

function discard(body: Dispatcher.ResponseData['body']): void {
  // Destroying a body that is not read to its end is an error to it, and none to us.
  body.on('error', () => undefined);
  body.destroy();
}
