import { accessSync, constants } from 'node:fs';
import { lariatError } from '@lariat/contracts';

/** Files with which a process proves who it is, and knows the server. */
export interface BusAccess {
  /** A file of credentials, or a folder with each role's. Without it the server must take anybody. */
  readonly credentials?: string;
  readonly tls?: TlsFiles;
}

export interface TlsFiles {
  /** Who has signed the server's certificate; default those that Node.js trusts. */
  readonly caFile?: string;
  /** This process's own certificate, where the server wants one. */
  readonly certFile?: string;
  readonly keyFile?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

export const BUS_VARIABLES = `  LARIAT_NATS_CREDENTIALS  who this is: a file that 'lariat credentials' has made, or the folder of them
  LARIAT_NATS_TLS_CA       who has signed the certificate of NATS
  LARIAT_NATS_TLS_CERT     this process's own certificate, where NATS wants one, with
  LARIAT_NATS_TLS_KEY      its key`;

/** From the environment alone: a secret, and where it is, is nothing for a command line. */
export function readBusAccess(env: Environment = process.env): BusAccess {
  const named = (variable: string): string | undefined =>
    env[variable] === '' ? undefined : env[variable];
  const credentials = named('LARIAT_NATS_CREDENTIALS');
  const caFile = tlsFile('LARIAT_NATS_TLS_CA', named('LARIAT_NATS_TLS_CA'));
  const certFile = tlsFile('LARIAT_NATS_TLS_CERT', named('LARIAT_NATS_TLS_CERT'));
  const keyFile = tlsFile('LARIAT_NATS_TLS_KEY', named('LARIAT_NATS_TLS_KEY'));
  if ((certFile === undefined) !== (keyFile === undefined))
    throw lariatError(
      'NATS_TLS_INVALID',
      'LARIAT_NATS_TLS_CERT and LARIAT_NATS_TLS_KEY go together: set both, or neither.',
    );
  const tls = {
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
  };
  return {
    ...(credentials === undefined ? {} : { credentials }),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
  };
}

function tlsFile(variable: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    accessSync(path, constants.R_OK);
    return path;
  } catch (cause) {
    throw lariatError(
      'NATS_TLS_INVALID',
      `${variable} is ${path}, which cannot be read (${(cause as Error).message}); correct it or unset it.`,
      {},
      cause,
    );
  }
}
