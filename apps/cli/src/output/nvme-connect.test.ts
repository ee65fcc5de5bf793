import { frontendHostNqn } from '@lariat/contracts';
import { expect, it } from 'vitest';
import { connectFields } from './nvme-connect.js';

const OWN = frontendHostNqn('vol-1', 4);
const NAMED = 'nqn.2014-08.org.nvmexpress:uuid:8b8aa2f5-6ae6-4d2a-9f4b-0f1de0a1e2c3';
const attachment = {
  ...{ epoch: 4, node: 'n1', frontend: 'nvmf' as const, inSync: [] },
  endpoint: 'nvme+tcp://192.0.2.7:4420/nqn.2026-11.io.lariat:volume:vol-1',
  hostNqns: [OWN] as readonly string[] | null,
};
const connect =
  'nvme connect --transport=tcp --traddr=192.0.2.7 --trsvcid=4420 --nqn=nqn.2026-11.io.lariat:volume:vol-1';

it('shows who may connect, and what to run there: under a name of ours with the host id that goes with it', () => {
  const [hosts, line, ...rest] = connectFields(attachment);
  expect(hosts).toEqual(['hosts', OWN]);
  expect(line?.[0]).toBe('connect');
  expect(line?.[1]).toMatch(
    / --hostid=[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  expect(line?.[1].startsWith(`${connect} --hostnqn=${OWN} `)).toBe(true);
  expect(rest).toEqual([]);
});

it('has a line for each host that was named, in words that a shell takes as they are', () => {
  const odd = "nqn.2026-11.io.example:it's;true";
  expect(connectFields({ ...attachment, hostNqns: [NAMED, odd] })).toEqual([
    ['hosts', `${NAMED}, ${odd}`],
    ['connect', `${connect} --hostnqn=${NAMED}`],
    ['connect', `${connect} --hostnqn='nqn.2026-11.io.example:it'\\''s;true'`],
  ]);
});

it('takes the brackets off an address of IPv6, and the port as it is', () => {
  const endpoint = 'nvme+tcp://[2001:db8::7]:80/nqn.2026-11.io.lariat:volume:vol-1';
  const line = connectFields({ ...attachment, endpoint, hostNqns: [NAMED] })[1]?.[1];
  expect(line).toContain(' --traddr=2001:db8::7 --trsvcid=80 ');
});

it('says that any host may where the attachment is of a time without lists, and nothing of other frontends', () => {
  expect(connectFields({ ...attachment, hostNqns: null })).toEqual([
    ['hosts', 'any, until it is detached and attached again'],
  ]);
  expect(connectFields({ ...attachment, frontend: 'nbd', hostNqns: null })).toEqual([]);
  expect(connectFields({ ...attachment, endpoint: null })).toEqual([['hosts', OWN]]);
});
