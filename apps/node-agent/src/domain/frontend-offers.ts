import type { Frontend, FrontendOffer } from '@lariat/contracts';

/** What of this machine bears on how volumes can be used on it. */
export interface HostFacts {
  readonly isRoot: boolean;
  /** Names of those that were found. */
  readonly programs: ReadonlySet<string>;
  /** Paths of device nodes that are there. */
  readonly devices: ReadonlySet<string>;
  /** Names of kernel modules that are loaded or built in. */
  readonly modules: ReadonlySet<string>;
}

interface Needs {
  /** Program -> Debian package that has it. */
  readonly programs: Readonly<Record<string, string>>;
  /** Device node -> what of the kernel makes it. */
  readonly devices: Readonly<Record<string, string>>;
  readonly modules: readonly string[];
}

/** What the frontends that make block devices on the host need. */
export const NEEDS: Readonly<Record<'kernel' | 'loop', Needs>> = {
  kernel: {
    programs: { nvme: 'nvme-cli', dmsetup: 'dmsetup' },
    devices: { '/dev/nvme-fabrics': 'module nvme-fabrics', '/dev/mapper/control': 'module dm-mod' },
    modules: ['nvme_tcp'],
  },
  loop: {
    programs: { nbdfuse: 'libnbd-bin', losetup: 'mount', umount: 'mount' },
    devices: { '/dev/fuse': 'module fuse', '/dev/loop-control': 'module loop' },
    modules: [],
  },
};

/** How volumes can be used on this machine, among what its operator allows, and what is missing for the rest. */
export function offersOf(facts: HostFacts, allowed: readonly Frontend[]): readonly FrontendOffer[] {
  const offers = [
    available('nvmf'),
    available('nbd'),
    offerOf('kernel', facts),
    offerOf('loop', facts),
  ];
  return offers.map((offer) =>
    allowed.includes(offer.frontend) ? offer : withheld(offer.frontend),
  );
}

function withheld(frontend: Frontend): FrontendOffer {
  const reason = 'its agent was started without it (--frontends)';
  return { frontend, available: false, reason };
}

function available(frontend: Frontend): FrontendOffer {
  return { frontend, available: true, reason: null };
}

function offerOf(frontend: keyof typeof NEEDS, facts: HostFacts): FrontendOffer {
  const { programs, devices, modules } = NEEDS[frontend];
  const missing = [
    ...(facts.isRoot ? [] : ['the agent does not run as root']),
    ...Object.entries(programs)
      .filter(([program]) => !facts.programs.has(program))
      .map(([program, source]) => `${program} is not installed (Debian: ${source})`),
    ...modules
      .filter((module) => !facts.modules.has(module))
      .map((module) => `the kernel has no module ${module.replaceAll('_', '-')}`),
    ...Object.entries(devices)
      .filter(([device]) => !facts.devices.has(device))
      .map(([device, source]) => `there is no ${device} (${source})`),
  ];
  if (missing.length === 0) return available(frontend);
  return { frontend, available: false, reason: missing.join('; ') };
}

/** Why the node does not serve volumes in that way; undefined when it does. */
export function whyNot(offers: readonly FrontendOffer[], frontend: Frontend): string | undefined {
  const offer = offers.find((candidate) => candidate.frontend === frontend);
  if (offer === undefined) return 'its agent does not know of it';
  return offer.available ? undefined : (offer.reason ?? 'it is not available');
}
