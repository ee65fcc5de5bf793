import {
  type AttachmentRecord,
  type Frontend,
  type VolumeRecord,
  frontendHostNqn,
} from '@lariat/contracts';

/** What a caller asks for. */
export interface WantedAttachment {
  readonly node: string;
  readonly frontend: Frontend;
  /** Null: the host whose NQN is made for the attachment. */
  readonly hostNqns: readonly string[] | null;
}

/** Who may connect to an attachment of that epoch, for its record: nothing where the frontend is no matter of hosts. */
export function hostsOf(
  { frontend, hostNqns }: Pick<WantedAttachment, 'frontend' | 'hostNqns'>,
  volume: string,
  epoch: number,
): Pick<AttachmentRecord, 'hostNqns'> {
  if (frontend !== 'nvmf') return {};
  return { hostNqns: hostNqns ?? [frontendHostNqn(volume, epoch)] };
}

/** Whether the volume is attached, or is being attached, as it is asked for. */
export function isAsFor({ id, attachment }: VolumeRecord, wanted: WantedAttachment): boolean {
  if (attachment === null) return false;
  const { node, frontend, epoch, hostNqns } = attachment;
  if (node !== wanted.node || frontend !== wanted.frontend) return false;
  // Another frontend, or attached when there were no lists: who names no host finds what was meant.
  if (hostNqns === undefined) return wanted.hostNqns === null;
  const hosts = hostsOf(wanted, id, epoch).hostNqns ?? [];
  return hosts.length === hostNqns.length && hosts.every((host) => hostNqns.includes(host));
}

/** In a person's words, after the name of the frontend. */
export function sayHosts({ frontend, hostNqns }: AttachmentRecord): string {
  if (frontend !== 'nvmf') return '';
  return hostNqns === undefined ? ' for any host' : ` for ${hostNqns.join(', ')}`;
}
