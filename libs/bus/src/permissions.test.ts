import { describe, expect, it } from 'vitest';
import { permissionsOf } from './permissions.js';
import {
  CSI_REQUESTS,
  NODE_REQUESTS,
  READ_REQUESTS,
  REQUESTS,
  REQUEST_NAMES,
  SERVICE_NAMES,
} from './request-names.js';
import {
  BUCKET_NAMES,
  BUCKET_WRITERS,
  type BusRole,
  CLUSTER_ROLES,
  inboxOf,
  pluginRole,
  userOf,
} from './roles.js';
import { BUCKETS, STREAMS, nodeRequestSubject, requestSubject } from './subjects.js';

/** Whether a message can match both. */
function overlap(left: string, right: string): boolean {
  const [a, b] = [left.split('.'), right.split('.')];
  for (let index = 0; ; index += 1) {
    const [x, y] = [a[index], b[index]];
    if (x === undefined || y === undefined) return x === y;
    if (x === '>' || y === '>') return true;
    if (x !== y && x !== '*' && y !== '*') return false;
  }
}

const n1: BusRole = { kind: 'agent', node: 'n1' };
const n2: BusRole = { kind: 'agent', node: 'n2' };
const ROLES = [...CLUSTER_ROLES, n1, n2];
const may = (role: BusRole, verb: 'publish' | 'subscribe', subject: string): boolean =>
  permissionsOf(role)[verb].some((allowed) => overlap(allowed, subject));
const whoMay = (verb: 'publish' | 'subscribe', subject: string): readonly string[] =>
  ROLES.filter((role) => may(role, verb, subject)).map(userOf);
const trusted = [...SERVICE_NAMES, 'admin'];

describe('who may say what', () => {
  it('events and commands are said by services alone', () => {
    for (const subject of [...STREAMS.events.subjects, ...STREAMS.commands.subjects])
      expect(whoMay('publish', subject)).toEqual(trusted);
  });

  it.each(BUCKET_NAMES)('records in %s are written by whose they are', (bucket) => {
    const writer = BUCKET_WRITERS[bucket];
    const writers = writer === 'all' ? trusted : [writer, 'admin'];
    expect(whoMay('publish', `$KV.${bucket}.key`)).toEqual(writers);
  });

  it('consumers and streams, which deliver wherever they are told to, are made by services alone', () => {
    const names = [
      ...Object.values(STREAMS).map(({ name }) => name),
      ...BUCKET_NAMES.map((bucket) => `KV_${bucket}`),
    ];
    for (const name of names)
      for (const verb of [
        `CONSUMER.CREATE.${name}`,
        `CONSUMER.CREATE.${name}.any.>`,
        `CONSUMER.DURABLE.CREATE.${name}.any`,
        `STREAM.CREATE.${name}`,
        `DIRECT.GET.${name}`,
        `DIRECT.GET.${name}.any`,
      ])
        expect({ verb, by: whoMay('publish', `$JS.API.${verb}`) }).toEqual({ verb, by: trusted });
  });

  it('nothing that is stored is purged or deleted but by operators', () => {
    for (const name of [...Object.values(STREAMS).map((one) => one.name), `KV_${BUCKETS.volumes}`])
      for (const verb of ['STREAM.PURGE', 'STREAM.DELETE', 'STREAM.MSG.DELETE', 'STREAM.RESTORE'])
        expect(whoMay('publish', `$JS.API.${verb}.${name}`)).toEqual(['admin']);
  });

  it('an agent says nothing for another node, and hears nothing of it', () => {
    const shared = (verb: 'publish' | 'subscribe'): readonly string[] => {
      const others = permissionsOf(n2)[verb];
      return permissionsOf(n1)[verb].filter((mine) => others.some((its) => overlap(mine, its)));
    };
    expect(shared('publish')).toEqual([
      'lariat.v1.dead-letter.LARIAT_COMMANDS',
      'lariat.v1.spans',
      '$JS.API.INFO',
    ]);
    expect(shared('subscribe').every((subject) => subject.startsWith('$SRV.'))).toBe(true);
    for (const name of NODE_REQUESTS) {
      expect(whoMay('publish', nodeRequestSubject(name, 'n1'))).toEqual(['admin', 'agent-n1']);
      expect(whoMay('publish', requestSubject(name))).toEqual(['admin']);
    }
  });

  it('users ask for what users may, and change nothing behind it', () => {
    const internal = REQUEST_NAMES.filter((name) => name.startsWith('internal.'));
    expect(internal.length).toBeGreaterThan(10);
    const asked = REQUEST_NAMES.filter((name) =>
      may({ kind: 'api' }, 'publish', requestSubject(name)),
    );
    expect(asked).toEqual(REQUEST_NAMES.filter((name) => !internal.includes(name)));
    for (const subject of ['heartbeat.n1', 'inventory.n1', 'reply.i.n1.1', 'instance.i'])
      expect(may({ kind: 'api' }, 'publish', `lariat.v1.${subject}`)).toBe(false);
    for (const name of CSI_REQUESTS)
      expect(may({ kind: 'csi' }, 'publish', requestSubject(name))).toBe(true);
    expect(may({ kind: 'csi' }, 'publish', requestSubject('node.remove'))).toBe(false);
    expect(may({ kind: 'csi-node' }, 'publish', requestSubject('volume.get'))).toBe(true);
    for (const name of ['volume.delete', 'volume.attach', 'node.remove'])
      expect(may({ kind: 'csi-node' }, 'publish', requestSubject(name))).toBe(false);
  });

  it('plugins of others ask for what changes nothing', () => {
    const asked = REQUEST_NAMES.filter((name) =>
      may({ kind: 'plugin' }, 'publish', requestSubject(name)),
    );
    expect(asked.toSorted()).toEqual([...READ_REQUESTS, 'internal.event.open-consumer'].toSorted());
    expect(READ_REQUESTS).toContain('volume.list');
    expect(READ_REQUESTS).not.toContain('audit.list');
    expect(pluginRole('volume-watcher')).toEqual({ kind: 'plugin' });
    expect(pluginRole('volume-svc')).toEqual({ kind: 'service', service: 'volume-svc' });
  });

  it('each request is heard by the service that answers it, and by no other', () => {
    for (const service of SERVICE_NAMES)
      for (const name of REQUESTS[service]) {
        const isOfNodes = (NODE_REQUESTS as readonly string[]).includes(name);
        const subject = isOfNodes ? nodeRequestSubject(name, 'n1') : requestSubject(name);
        expect(whoMay('subscribe', subject)).toEqual([service, 'admin']);
      }
    expect(new Set(REQUEST_NAMES).size).toBe(REQUEST_NAMES.length);
  });

  it('answers are heard by who asked', () => {
    for (const role of ROLES)
      expect(new Set(whoMay('subscribe', `${inboxOf(role)}.x`))).toEqual(
        new Set([userOf(role), 'admin']),
      );
    expect(whoMay('subscribe', 'lariat.v1.reply.inst.n1.1')).toEqual(trusted);
  });

  it('faults are armed where tests start processes for it', () => {
    const subject = 'lariat.v1.test.fault.volume-svc.arm';
    expect(whoMay('subscribe', subject)).toEqual(['admin']);
    const { subscribe } = permissionsOf(n1, { faults: true });
    expect(subscribe.some((allowed) => overlap(allowed, subject))).toBe(true);
    expect(whoMay('publish', subject)).toEqual(['admin']);
  });
});
