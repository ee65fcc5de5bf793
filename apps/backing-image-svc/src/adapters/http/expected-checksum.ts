import { type Checksum, checksumFromFile, parseChecksum } from '../../domain/checksum.js';
import { parseSourceUrl } from '../../domain/source-url.js';
import type { HttpSettings } from './http-settings.js';
import { fetchText } from './http-source.js';

/** Lists of sums are small; what is larger is something else. */
const MAX_LIST_BYTES = 4 * 1024 * 1024;

/**
 * The sum that a user asks for: `sha256:…`, `sha512:…`, or the url of a SHA256SUMS or SHA512SUMS file, in which the
 * image is looked up by its file name.
 */
export async function expectedChecksum(
  text: string,
  imageFileName: string,
  settings: HttpSettings,
  signal: AbortSignal,
): Promise<Checksum> {
  if (!/^https?:/i.test(text)) return parseChecksum(text);
  const url = parseSourceUrl(text);
  const list = await fetchText(url, { ...settings, maxBytes: MAX_LIST_BYTES }, signal);
  return checksumFromFile(list, imageFileName);
}
