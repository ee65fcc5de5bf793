import { newVolumeId } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { parseDto } from './dto/validation.js';
import { engineHostNqn, frontendHostNqn, hostIdOf, isNqn } from './nqn.js';
import { REQUEST_DTOS } from './requests.js';

const UUID = '8b8aa2f5-6ae6-4d2a-9f4b-0f1de0a1e2c3';
const HOST = `nqn.2014-08.org.nvmexpress:uuid:${UUID}`;

it.each([
  [HOST, true],
  [
    HOST.toUpperCase().replace(
      'NQN.2014-08.ORG.NVMEXPRESS:UUID',
      'nqn.2014-08.org.nvmexpress:uuid',
    ),
    true,
  ],
  ['nqn.2026-11.io.example:host-1', true],
  ['nqn.2026-11.io.example:Rechner Ä', false],
  ['nqn.2026-11.io.example:rechner.ä', true],
  [`nqn.2026-11.io.example:${'x'.repeat(223 - 23)}`, true],
  [`nqn.2026-11.io.example:${'x'.repeat(224 - 23)}`, false],
  [`nqn.2026-11.io.example:${'ä'.repeat(101)}`, false],
  ['nqn.2014-08.org.nvmexpress:uuid:8b8aa2f5', false],
  [`${HOST}0`, false],
  ['nqn.2026-11.io.example', false],
  ['nqn.2026-11.io.example:', false],
  ['nqn.2026-11:host', false],
  ['nqn.26-11.io.example:host', false],
  ['nqn.2026-11.io.-example:host', false],
  ['nqn.2026-11.io.1example:host', false],
  ['nqn.2026-11.io.example:a\nb', false],
  ['nqn.2026-11.io.example:\ud800', false],
  ['iqn.2026-11.io.example:host', false],
  ['', false],
])('%s is a name that targets take: %s', (text, isOne) => {
  expect(isNqn(text)).toBe(isOne);
});

describe('the hosts of a request to attach', () => {
  const code = (hostNqns: unknown): string => {
    const body = { volume: 'v1', node: 'n1', hostNqns };
    try {
      expect(parseDto(REQUEST_DTOS['volume.attach'], body).hostNqns).toEqual(hostNqns);
    } catch (error) {
      return (error as { readonly code: string }).code;
    }
    return 'taken';
  };
  const many = (count: number): readonly string[] =>
    Array.from({ length: count }, (_, index) => `nqn.2026-11.io.example:${index}`);

  it.each([
    ['one', [HOST], 'taken'],
    ['the most that may be', many(16), 'taken'],
    ['too many', many(17), 'HOST_NQNS_INVALID'],
    ['none', [], 'HOST_NQNS_INVALID'],
    ['no list', HOST, 'HOST_NQNS_INVALID'],
    ['no text', [HOST, 7], 'HOST_NQN_INVALID'],
    ['no text, twice', [7, 7], 'HOST_NQN_INVALID'],
    ['no NQN', ['host-1'], 'HOST_NQN_INVALID'],
    ['one twice', [HOST, HOST], 'HOST_NQN_REPEATED'],
    ['one of an attachment', [frontendHostNqn(newVolumeId(), 1)], 'HOST_NQN_RESERVED'],
    ['one of an engine', [HOST, engineHostNqn(newVolumeId(), 2)], 'HOST_NQN_RESERVED'],
  ])('%s', (_what, hosts, expected) => {
    expect(code(hosts)).toBe(expected);
  });
});

it('has one host id for a host name, and another for another', () => {
  const of = (epoch: number): string => hostIdOf(frontendHostNqn('vol-1', epoch));
  expect(of(1)).toBe(of(1));
  expect(of(1)).not.toBe(of(2));
  expect(of(1)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
});
