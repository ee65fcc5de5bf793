import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { RecordedFolder } from '../../left-over/record.js';
import { isInstalled, run } from '../../debian/programs.js';

/** Four addresses a link, of which the two in the middle are a host's. */
export const LINK_PREFIX_BITS = 30;
const ADDRESSES = 2 ** (32 - LINK_PREFIX_BITS);
/** 198.18.0.0/15 is for tests of networks: nobody is reached there (RFC 2544). */
const FIRST_ADDRESS = 198 * 2 ** 24 + 18 * 2 ** 16;
const LINKS = 2 ** 17 / ADDRESSES;

/** A wire between this machine and one guest; it outlives a reset of the guest. */
export class HostLink {
  private constructor(
    readonly name: string,
    readonly hostAddress: string,
    readonly guestAddress: string,
    private readonly recorded: RecordedFolder,
  ) {}

  /** Why there can be none on this machine; undefined where there can. */
  static whyNot(): string | undefined {
    if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun';
    return isInstalled('ip') ? undefined : 'ip is not installed';
  }

  static async make(): Promise<HostLink> {
    const name = `lariat${process.pid}`;
    const [hostAddress, guestAddress] = freeAddresses();
    const recorded = RecordedFolder.make('lariat-link-');
    recorded.noteInterface(name);
    const link = new HostLink(name, hostAddress, guestAddress, recorded);
    try {
      await run('ip', ['tuntap', 'add', 'dev', name, 'mode', 'tap']);
      await run('ip', ['address', 'add', `${hostAddress}/${LINK_PREFIX_BITS}`, 'dev', name]);
      await run('ip', ['link', 'set', 'dev', name, 'up']);
      return link;
    } catch (error) {
      await link.remove();
      throw error;
    }
  }

  async remove(): Promise<void> {
    if (existsSync(`/sys/class/net/${this.name}`)) await run('ip', ['link', 'delete', this.name]);
    this.recorded.remove();
  }
}

/** Two that no interface has, begun with by pid so that runs side by side hardly meet. */
function freeAddresses(): readonly [host: string, guest: string] {
  const used = new Set(
    Object.values(networkInterfaces()).flatMap((list) =>
      (list ?? []).map(({ address }) => address),
    ),
  );
  for (let tries = 0; tries < LINKS; tries += 1) {
    const base = FIRST_ADDRESS + ((process.pid + tries) % LINKS) * ADDRESSES;
    if (!used.has(dotted(base + 1))) return [dotted(base + 1), dotted(base + 2)];
  }
  throw new Error('no addresses are left for a link to a guest');
}

const dotted = (address: number): string =>
  [24, 16, 8, 0].map((bits) => Math.floor(address / 2 ** bits) % 256).join('.');
