import { type VolumeView, hostIdOf, isLariatNqn } from '@lariat/contracts';

/**
 * Of a volume that is used over NVMe/TCP: who may connect, and what a person runs on each of these hosts to have it as a block
 * device there.
 */
export function connectFields(
  attachment: VolumeView['attachment'],
): readonly (readonly [string, string])[] {
  if (attachment?.frontend !== 'nvmf') return [];
  const { hostNqns, endpoint } = attachment;
  if (hostNqns === null) return [['hosts', 'any, until it is detached and attached again']];
  const connects = endpoint === null ? [] : hostNqns.map((host) => connectLine(endpoint, host));
  return [['hosts', hostNqns.join(', ')], ...connects.map((line) => ['connect', line] as const)];
}

function connectLine(endpoint: string, host: string): string {
  const { hostname, port, pathname } = new URL(endpoint);
  return [
    'nvme connect --transport=tcp',
    ...[`--traddr=${hostname.replace(/^\[|\]$/g, '')}`, `--trsvcid=${port}`],
    `--nqn=${quote(decodeURIComponent(pathname.slice(1)))}`,
    `--hostnqn=${quote(host)}`,
    // Other hosts have an id of their own, in /etc/nvme/hostid.
    ...(isLariatNqn(host) ? [`--hostid=${hostIdOf(host)}`] : []),
  ].join(' ');
}

/** For a shell. */
function quote(text: string): string {
  return /^[\w.:@%+=,/-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
