import { describe, expect, it } from 'vitest';
import { isAllowedAddress, literalAddress, parseAllowList } from './address-guard.js';

const NONE = parseAllowList([]);

describe('the guard of addresses', () => {
  it.each([
    ['loopback', '127.0.0.1'],
    ['loopback, elsewhere in its network', '127.255.0.9'],
    ['unspecified', '0.0.0.0'],
    ['private', '10.0.0.1'],
    ['private', '172.16.9.9'],
    ['private', '192.168.1.1'],
    ['link-local: cloud metadata', '169.254.169.254'],
    ['carrier-grade NAT', '100.64.0.1'],
    ['multicast', '224.0.0.1'],
    ['broadcast', '255.255.255.255'],
    ['reserved', '240.0.0.1'],
    ['benchmarks and documentation', '203.0.113.9'],
    ['IPv6 loopback', '::1'],
    ['IPv6 unspecified', '::'],
    ['IPv6 unique-local', 'fd00::1'],
    ['IPv6 link-local', 'fe80::1'],
    ['IPv6 multicast', 'ff02::1'],
    ['IPv4-mapped loopback', '::ffff:127.0.0.1'],
    ['IPv4-mapped private, in hexadecimal', '::ffff:a00:1'],
    ['NAT64 of loopback', '64:ff9b::7f00:1'],
    ['6to4 of a private address', '2002:0a00:0001::1'],
    ['not an address', 'localhost'],
    ['nothing', ''],
  ])('refuses %s: %s', (_what, address) => {
    expect(isAllowedAddress(address, NONE)).toBe(false);
  });

  it.each(['8.8.8.8', '151.101.2.132', '2a04:4e42::644', '::ffff:8.8.8.8'])(
    'lets %s',
    (address) => {
      expect(isAllowedAddress(address, NONE)).toBe(true);
    },
  );

  it('lets what the configuration names, and its neighbours not', () => {
    const allowed = parseAllowList(['10.1.0.0/16', '127.0.0.1', 'fd12::/16']);
    expect(isAllowedAddress('10.1.255.3', allowed)).toBe(true);
    expect(isAllowedAddress('10.2.0.1', allowed)).toBe(false);
    expect(isAllowedAddress('127.0.0.1', allowed)).toBe(true);
    expect(isAllowedAddress('::ffff:127.0.0.1', allowed)).toBe(true);
    expect(isAllowedAddress('127.0.0.2', allowed)).toBe(false);
    expect(isAllowedAddress('fd12::9', allowed)).toBe(true);
    expect(isAllowedAddress('fd13::9', allowed)).toBe(false);
  });

  it('does not start with a list that it cannot read', () => {
    expect(() => parseAllowList(['10.0.0.0/99'])).toThrow('10.0.0.0/99');
  });

  it.each([
    ['http://0x7f.1/', '127.0.0.1'],
    ['http://2130706433/', '127.0.0.1'],
    ['http://[::ffff:7f00:1]/', '::ffff:7f00:1'],
    ['http://example.org/', null],
  ])('sees the address in %s', (url, address) => {
    expect(literalAddress(new URL(url))).toBe(address);
  });
});
