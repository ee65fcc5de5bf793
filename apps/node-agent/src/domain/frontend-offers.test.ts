import { expect, it } from 'vitest';
import { type HostFacts, NEEDS, offersOf, whyNot } from './frontend-offers.js';

const ABLE: HostFacts = {
  isRoot: true,
  programs: new Set(Object.values(NEEDS).flatMap(({ programs }) => Object.keys(programs))),
  devices: new Set(Object.values(NEEDS).flatMap(({ devices }) => Object.keys(devices))),
  modules: new Set(Object.values(NEEDS).flatMap(({ modules }) => modules)),
};
const ALL = ['nvmf', 'nbd', 'kernel', 'loop'] as const;
const without = <T>(all: ReadonlySet<T>, one: T): ReadonlySet<T> =>
  new Set(Array.from(all).filter((other) => other !== one));

it('offers everything on a machine that has all of it', () => {
  expect(offersOf(ABLE, ALL)).toEqual(
    ALL.map((frontend) => ({
      frontend,
      available: true,
      reason: null,
    })),
  );
});

it('needs nothing of the machine for what other programs connect to', () => {
  const bare: HostFacts = {
    ...{ isRoot: false, programs: new Set(), devices: new Set(), modules: new Set() },
  };
  const offers = offersOf(bare, ALL);
  expect(whyNot(offers, 'nvmf')).toBeUndefined();
  expect(whyNot(offers, 'nbd')).toBeUndefined();
  for (const frontend of ['kernel', 'loop'] as const)
    expect(whyNot(offers, frontend)).toContain('the agent does not run as root');
});

it.each([
  [
    'kernel',
    { programs: without(ABLE.programs, 'nvme') },
    'nvme is not installed (Debian: nvme-cli)',
  ],
  ['kernel', { modules: new Set<string>() }, 'the kernel has no module nvme-tcp'],
  [
    'kernel',
    { devices: without(ABLE.devices, '/dev/mapper/control') },
    'there is no /dev/mapper/control (module dm-mod)',
  ],
  [
    'loop',
    { programs: without(ABLE.programs, 'nbdfuse') },
    'nbdfuse is not installed (Debian: libnbd-bin)',
  ],
  ['loop', { devices: without(ABLE.devices, '/dev/fuse') }, 'there is no /dev/fuse (module fuse)'],
] as const)('says of %s what alone is missing: %j', (frontend, over, reason) => {
  const offers = offersOf({ ...ABLE, ...over }, ALL);
  expect(whyNot(offers, frontend)).toBe(reason);
  const other = frontend === 'kernel' ? 'loop' : 'kernel';
  expect(whyNot(offers, other)).toBeUndefined();
});

it('offers nothing that its operator does not allow', () => {
  const offers = offersOf(ABLE, ['nbd']);
  expect(offers.filter(({ available }) => available).map(({ frontend }) => frontend)).toEqual([
    'nbd',
  ]);
  expect(whyNot(offers, 'kernel')).toContain('--frontends');
});
