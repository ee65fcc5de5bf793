import { lariatError } from '@lariat/contracts';

const SCHEMES: ReadonlySet<string> = new Set(['http:', 'https:']);
const PACKED = /\.(gz|xz|zst|zstd)$/i;
const FORMATS = /\.(qcow2|qcow|raw|img|iso|bin)$/i;

/** A url that an image can be fetched from. */
export function parseSourceUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (reason) {
    throw lariatError('IMAGE_SOURCE_INVALID', 'the source is not a url', {}, reason);
  }
  if (!SCHEMES.has(url.protocol)) {
    throw lariatError(
      'IMAGE_SOURCE_INVALID',
      `images are fetched from http and https urls, not from '${url.protocol}'`,
    );
  }
  return url;
}

/** For messages, logs and records: without what may be a secret (user, password, the signature in a query). */
export function describeUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** The name under which a checksum file lists what a url leads to. */
export function fileNameOf(url: URL): string {
  const last = url.pathname.slice(url.pathname.lastIndexOf('/') + 1);
  try {
    return decodeURIComponent(last);
  } catch {
    // A stray % is a legal part of a path, and then part of the name.
    return last;
  }
}

/** A name for an image that was given none: the file's, without what only says how it is packed. */
export function imageNameOf(url: URL): string {
  const name = fileNameOf(url).replace(PACKED, '').replace(FORMATS, '');
  const safe = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-|-$/g, '');
  return safe === '' ? 'image' : safe;
}

/** Where a redirect leads, or why it is not followed. */
export function redirectTarget(from: URL, location: string): URL {
  let to: URL;
  try {
    to = new URL(location, from);
  } catch (reason) {
    throw lariatError(
      'IMAGE_REDIRECT_REFUSED',
      `${from.host} redirects to something that is not a url`,
      {},
      reason,
    );
  }
  if (!SCHEMES.has(to.protocol)) {
    throw lariatError(
      'IMAGE_REDIRECT_REFUSED',
      `${from.host} redirects to a '${to.protocol}' address`,
    );
  }
  if (from.protocol === 'https:' && to.protocol === 'http:') {
    throw lariatError(
      'IMAGE_REDIRECT_REFUSED',
      `${from.host} redirects from https to http at ${to.host}, where anybody could change the image on its way; give an http url yourself, with a checksum, if that is wanted`,
    );
  }
  return to;
}
