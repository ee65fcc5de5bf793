import { lookup as resolve } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { rootCertificates } from 'node:tls';
import { type Dispatcher, EnvHttpProxyAgent } from 'undici';
import { type AllowList, blockedAddress, isAllowedAddress } from '../../domain/address-guard.js';
import type { HttpSettings } from './http-settings.js';

/**
 * Looks up a name and keeps back what may not be connected to. The connection is made to just these addresses, so a
 * name that resolves differently the next time gets nobody in.
 */
export function guardedLookup(allowed: AllowList): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const open = addresses.filter(({ address }) => isAllowedAddress(address, allowed));
      const [first] = open;
      if (first === undefined) {
        const blocked = addresses.map(({ address }) => address);
        return callback(blockedAddress(hostname, blocked), []);
      }
      if (options.all === true) return callback(null, open);
      return callback(null, first.address, first.family);
    });
  };
}

/**
 * Connections to public addresses alone, or through the proxy that the environment names. A proxy looks names up
 * itself, and may well be at a private address: it is trusted with both.
 */
export function guardedDispatcher(settings: HttpSettings): Dispatcher {
  const { proxy, extraCa, connectTimeoutMs, answerTimeoutMs } = settings;
  const trust = extraCa === undefined ? {} : { ca: [...rootCertificates, extraCa] };
  return new EnvHttpProxyAgent({
    ...proxy,
    connect: {
      ...trust,
      timeout: connectTimeoutMs,
      lookup: guardedLookup(settings.allowedAddresses),
    },
    requestTls: trust,
    // http through an http proxy is asked of the proxy itself, as curl does; many allow CONNECT for port 443 alone.
    proxyTunnel: false,
    headersTimeout: answerTimeoutMs,
    // Watched over by TimedBody, which knows when nobody was reading.
    bodyTimeout: 0,
    allowH2: false,
    pipelining: 0,
  });
}
