import { type PermissionOptions, type Permissions, permissionsOf } from './permissions.js';
import { type BusRole, userOf } from './roles.js';

/** A role with the public half of its key, which is all that the server needs to know of it. */
export interface BusUser {
  readonly role: BusRole;
  readonly publicKey: string;
}

/** Longer than any answer of those who may answer takes: a piece of a file, or what a service says of itself. */
const ANSWER_WITHIN = '2m';

/** In seconds. The server's own 2 are too few for a machine that starts everything at once: who is late would count as refused. */
const CONNECT_WITHIN = 30;

const listed = (subjects: readonly string[]): string =>
  `[\n${subjects.map((subject) => `        ${JSON.stringify(subject)}\n`).join('')}      ]`;

function permissionsText({ publish, subscribe, answers }: Permissions): string {
  const lines = [
    `      publish: { allow: ${listed(publish)} }`,
    `      subscribe: { allow: ${listed(subscribe)} }`,
    ...(answers ? [`      allow_responses: { max: 1, expires: "${ANSWER_WITHIN}" }`] : []),
  ];
  return `    permissions: {\n${lines.join('\n')}\n    }`;
}

/** The part of nats-server's configuration that says who may say and hear what. It holds no secret. */
export function authorizationConfig(
  users: readonly BusUser[],
  options: PermissionOptions = {},
): string {
  const texts = users.map(({ role, publicKey }) =>
    [
      `  # ${userOf(role)}`,
      '  {',
      `    nkey: ${publicKey}`,
      permissionsText(permissionsOf(role, options)),
      '  }',
    ].join('\n'),
  );
  return `authorization {\n timeout: ${CONNECT_WITHIN}\n users: [\n${texts.join('\n')}\n ]\n}\n`;
}

/** Files of certificates; with `ca`, who connects must have one that it has signed. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
}

export function tlsConfig({ cert, key, ca }: ServerTls): string {
  const lines = [
    `  cert_file: ${JSON.stringify(cert)}`,
    `  key_file: ${JSON.stringify(key)}`,
    `  timeout: ${CONNECT_WITHIN}`,
    ...(ca === undefined ? [] : [`  ca_file: ${JSON.stringify(ca)}`, '  verify: true']),
  ];
  return `tls {\n${lines.join('\n')}\n}\n`;
}
