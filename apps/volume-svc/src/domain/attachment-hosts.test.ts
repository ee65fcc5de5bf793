import { type AttachmentRecord, frontendHostNqn } from '@lariat/contracts';
import { expect, it } from 'vitest';
import { hostsOf, isAsFor, sayHosts } from './attachment-hosts.js';
import { newVolumeRecord } from './volume-record.test-support.js';

const [A, B] = ['nqn.2026-11.io.example:a', 'nqn.2026-11.io.example:b'];
const volume = newVolumeRecord({ state: 'attached' });
const OWN = frontendHostNqn(volume.id, 3);
const BEFORE = frontendHostNqn(volume.id, 2);

const attachedFor = (
  hostNqns: readonly string[] | undefined,
  over: object = {},
): AttachmentRecord => ({
  ...{ epoch: 3, node: 'n1', frontend: 'nvmf' as const, endpoint: null, engine: null },
  ...{ seizedFrom: null, inSync: [] },
  ...(hostNqns === undefined ? {} : { hostNqns }),
  ...over,
});

it('is for who was named, else for a host that only this epoch has, and of other frontends for none', () => {
  expect(hostsOf({ frontend: 'nvmf', hostNqns: [A] }, volume.id, 3)).toEqual({ hostNqns: [A] });
  expect(hostsOf({ frontend: 'nvmf', hostNqns: null }, volume.id, 3)).toEqual({ hostNqns: [OWN] });
  expect(hostsOf({ frontend: 'kernel', hostNqns: null }, volume.id, 3)).toEqual({});
  expect(OWN).not.toBe(BEFORE);
});

it.each([
  ['the same hosts in another order', attachedFor([A, B]), [B, A], true],
  ['fewer hosts', attachedFor([A, B]), [A], false],
  ['others', attachedFor([A]), [B], false],
  ['its own, as before', attachedFor([OWN]), null, true],
  ['its own, where one was named', attachedFor([A]), null, false],
  ['a host, where it has its own', attachedFor([OWN]), [A], false],
  ['its own, where it has that of another epoch', attachedFor([BEFORE]), null, false],
  ['none, where any may connect', attachedFor(undefined), null, true],
  ['a host, where any may connect', attachedFor(undefined), [A], false],
  ['the same on another node', attachedFor([A], { node: 'n2' }), [A], false],
  ['the same with another frontend', attachedFor(undefined, { frontend: 'nbd' }), null, false],
])('compares: %s', (_what, attachment, hostNqns, isAsked) => {
  const wanted = { node: 'n1', frontend: 'nvmf' as const, hostNqns };
  expect(isAsFor({ ...volume, attachment }, wanted)).toBe(isAsked);
});

it('says who may connect', () => {
  expect(sayHosts(attachedFor([A, B]))).toBe(` for ${A}, ${B}`);
  expect(sayHosts(attachedFor(undefined))).toBe(' for any host');
  expect(sayHosts(attachedFor(undefined, { frontend: 'nbd' }))).toBe('');
});
