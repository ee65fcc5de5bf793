import { lariatError } from '@lariat/contracts';
import ipaddr from 'ipaddr.js';

/** Addresses that may be fetched from although they are not public, as `10.1.0.0/16` or `10.1.2.3`. */
export type AllowList = readonly (readonly [ipaddr.IPv4 | ipaddr.IPv6, number])[];

export function parseAllowList(entries: readonly string[]): AllowList {
  return entries.map((entry) => {
    const text = entry.trim();
    if (ipaddr.isValidCIDR(text)) return ipaddr.parseCIDR(text);
    if (!ipaddr.isValid(text)) {
      throw lariatError(
        'REQUEST_INVALID',
        `'${entry}' in the list of allowed addresses is neither an address nor a network such as 10.1.0.0/16`,
      );
    }
    const address = ipaddr.parse(text);
    return [address, address.kind() === 'ipv4' ? 32 : 128];
  });
}

/**
 * Whether an import may connect to an address. Everything but public unicast is refused: loopback, link-local (cloud
 * metadata), private, carrier-grade NAT, unique-local, multicast, and IPv6 forms that carry an IPv4 address of those.
 */
export function isAllowedAddress(text: string, allowed: AllowList): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.parse(text);
  const meant = isIpv6(address) ? (carriedIpv4(address) ?? address) : address;
  const isListed = (candidate: ipaddr.IPv4 | ipaddr.IPv6): boolean =>
    allowed.some(([network, bits]) => {
      return network.kind() === candidate.kind() && candidate.match(network, bits);
    });
  return meant.range() === 'unicast' || isListed(meant) || isListed(address);
}

const isIpv6 = (address: ipaddr.IPv4 | ipaddr.IPv6): address is ipaddr.IPv6 =>
  address.kind() === 'ipv6';

/** First byte of the IPv4 address within the IPv6 one. */
const CARRIED_AT_BYTE: Readonly<Record<string, number>> = {
  ipv4Mapped: 12,
  // NAT64's well-known prefix 64:ff9b::/96.
  rfc6052: 12,
  rfc6145: 12,
  '6to4': 2,
};

function carriedIpv4(address: ipaddr.IPv6): ipaddr.IPv4 | null {
  const at = CARRIED_AT_BYTE[address.range()];
  return at === undefined ? null : new ipaddr.IPv4(address.toByteArray().slice(at, at + 4));
}

/** The address that a url's host is, without brackets; null for a name, which is checked when it is looked up. */
export function literalAddress(url: URL): string | null {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return ipaddr.isValid(host) ? host : null;
}

export function blockedAddress(host: string, addresses: readonly string[]): Error {
  return lariatError(
    'IMAGE_SOURCE_BLOCKED',
    `images are not fetched from ${host}, which is at ${addresses.join(', ') || 'no address'}: not a public address; an operator can allow it in the configuration`,
    { host },
  );
}
