import { STREAMS, commandSubject } from '@lariat/contracts';
import { GIB, MIB, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const HOST = 'nqn.2026-11.io.example:host';

describe('bad input', () => {
  let e2e: E2eCluster;
  let before: Readonly<Record<string, number>>;

  const codeOf = async (name: string, body: object): Promise<string> => {
    try {
      await e2e.client.requestRaw(name, body);
      return 'accepted';
    } catch (error) {
      const { code, message } = toLariatError(error);
      expect(message.length).toBeGreaterThan(10);
      return code;
    }
  };

  beforeAll(async () => {
    e2e = await startE2e({
      env: {
        ...{ ...process.env, LARIAT_REBUILD: 'manual', LARIAT_IMAGE_FOLDERS: '' },
        LARIAT_FRONTENDS: 'nvmf,nbd',
      },
    });
    await e2e.client.request('volume.create', { name: 'there', sizeBytes: 4 * MIB });
    await e2e.client.request('volume.create', { name: 'attached', sizeBytes: 4 * MIB });
    await e2e.client.request('volume.attach', { volume: 'attached', node: 'n1', frontend: 'nvmf' });
    await e2e.client.request('snapshot.create', { volume: 'there', snapshot: 'root' });
    await e2e.client.request('snapshot.create', { volume: 'there', snapshot: 'child' });
    await e2e.client.request('snapshot.revert', { volume: 'there', snapshot: 'root' });
    before = await e2e.records();
  });
  afterAll(async () => {
    await e2e.stop();
  });

  it.each([
    ['volume.create', { name: '', sizeBytes: MIB }, 'NAME_INVALID'],
    ['volume.create', { name: 'x'.repeat(64), sizeBytes: MIB }, 'NAME_INVALID'],
    ['volume.create', { name: 'No_Label', sizeBytes: MIB }, 'NAME_INVALID'],
    ['volume.create', { name: 'there', sizeBytes: MIB }, 'VOLUME_NAME_TAKEN'],
    ['volume.create', { name: 'new', sizeBytes: 0 }, 'SIZE_INVALID'],
    ['volume.create', { name: 'new', sizeBytes: -5 }, 'SIZE_INVALID'],
    ['volume.create', { name: 'new', sizeBytes: 1.5 }, 'SIZE_INVALID'],
    ['volume.create', { name: 'new', sizeBytes: GIB * 4096 }, 'NO_CAPACITY'],
    ['volume.create', { name: 'new', sizeBytes: MIB, replicas: 4 }, 'NOT_ENOUGH_NODES'],
    ['volume.create', { name: 'new', sizeBytes: MIB, colour: 'red' }, 'REQUEST_INVALID'],
    ['volume.get', { volume: 'nobody' }, 'VOLUME_NOT_FOUND'],
    ['volume.get', { volume: 'vol-0123456789ab' }, 'VOLUME_NOT_FOUND'],
    ['volume.delete', { volume: 'nobody' }, 'VOLUME_NOT_FOUND'],
    ['volume.delete', { volume: 'attached' }, 'VOLUME_ATTACHED'],
    [
      'volume.attach',
      { volume: 'attached', node: 'n2', frontend: 'nvmf' },
      'VOLUME_ATTACHED_ELSEWHERE',
    ],
    ['volume.attach', { volume: 'there', node: 'n9', frontend: 'nvmf' }, 'NODE_NOT_FOUND'],
    ['volume.attach', { volume: 'there', node: 'n1', frontend: 'kernel' }, 'FRONTEND_UNSUPPORTED'],
    ['volume.attach', { volume: 'there', node: 'n1', frontend: 'iscsi' }, 'FRONTEND_INVALID'],
    ['volume.attach', { volume: 'there', node: 'n1', hostNqns: [] }, 'HOST_NQNS_INVALID'],
    ['volume.attach', { volume: 'there', node: 'n1', hostNqns: ['host'] }, 'HOST_NQN_INVALID'],
    [
      'volume.attach',
      { volume: 'there', node: 'n1', frontend: 'nbd', hostNqns: [HOST] },
      'HOST_NQNS_UNSUPPORTED',
    ],
    ['volume.attach', { volume: 'attached', node: 'n1', hostNqns: [HOST] }, 'VOLUME_ATTACHED'],
    ['volume.detach', { volume: 'there' }, 'VOLUME_NOT_ATTACHED'],
    ['volume.expand', { volume: 'there', sizeBytes: MIB }, 'VOLUME_SHRINK'],
    ['volume.expand', { volume: 'attached', sizeBytes: MIB }, 'VOLUME_SHRINK'],
    ['volume.expand', { volume: 'there', sizeBytes: GIB * 4096 }, 'NO_CAPACITY'],
    ['snapshot.create', { volume: 'there', snapshot: 'root' }, 'SNAPSHOT_NAME_TAKEN'],
    ['snapshot.create-group', { volumes: [], snapshot: 'new' }, 'SNAPSHOT_GROUP_INVALID'],
    ['snapshot.create-group', { volumes: 'there', snapshot: 'new' }, 'SNAPSHOT_GROUP_INVALID'],
    ['snapshot.create-group', { volumes: ['nobody'], snapshot: 'new' }, 'VOLUME_NOT_FOUND'],
    [
      'snapshot.create-group',
      { volumes: ['attached', 'there'], snapshot: 'root' },
      'SNAPSHOT_NAME_TAKEN',
    ],
    ['snapshot.get', { volume: 'there', snapshot: 'none' }, 'SNAPSHOT_NOT_FOUND'],
    ['snapshot.delete', { volume: 'there', snapshot: 'none' }, 'SNAPSHOT_NOT_FOUND'],
    ['snapshot.delete', { volume: 'there', snapshot: 'root' }, 'SNAPSHOT_IN_USE'],
    ['snapshot.revert', { volume: 'attached', snapshot: 'none' }, 'SNAPSHOT_NOT_FOUND'],
    ['replica.remove', { volume: 'there', replica: 'rep-0123456789ab' }, 'REPLICA_NOT_FOUND'],
    ['replica.rebuild', { volume: 'there' }, 'VOLUME_HEALTHY'],
    ['replica.checksum', { volume: 'attached' }, 'VOLUME_ATTACHED'],
    ['node.get', { node: 'n9' }, 'NODE_NOT_FOUND'],
    ['node.remove', { node: 'n1' }, 'NODE_IN_USE'],
    ['node.remove', { node: 'n1', acceptDataLoss: true }, 'NODE_IN_USE'],
    ['node.remove', { node: 'n9' }, 'NODE_NOT_FOUND'],
    ['orphan.delete', { orphan: 'orph-0123456789ab' }, 'ORPHAN_NOT_FOUND'],
    ['disk.remove', { node: 'n1', disk: 'd1' }, 'DISK_IN_USE'],
    ['disk.remove', { node: 'n1', disk: 'd9' }, 'DISK_NOT_FOUND'],
    ['disk.add', { node: 'n1', path: 'relative' }, 'REQUEST_INVALID'],
    ['operation.get', { operation: 'op-0123456789ab' }, 'OPERATION_NOT_FOUND'],
    ['image.get', { image: 'debian' }, 'IMAGE_NOT_FOUND'],
  ])('%s %j is refused with %s, and nothing is left behind', async (name, body, code) => {
    expect(await codeOf(name, body)).toBe(code);
    expect(await e2e.records()).toEqual(before);
    const { volumes } = await e2e.client.request('volume.list', {});
    expect(volumes.map(({ operation }) => operation)).toEqual([null, null]);
    const { disks } = await e2e.client.request('disk.list', {});
    expect(disks.map(({ scheduledBytes, replicas }) => [scheduledBytes, replicas])).toEqual(
      disks.map(() => [8 * MIB, 2]),
    );
  });

  it('refuses a frontend that the node has not, with what the node says is missing for it', async () => {
    const { frontends } = await e2e.client.request('node.get', { node: 'n1' });
    expect(frontends.map(({ frontend }) => frontend)).toEqual(['nvmf', 'nbd', 'kernel', 'loop']);
    const kernel = frontends.find(({ frontend }) => frontend === 'kernel');
    expect(kernel).toMatchObject({ available: false, reason: expect.stringMatching(/.{10}/) });
    await expect(
      e2e.client.request('volume.attach', { volume: 'there', node: 'n1', frontend: 'kernel' }),
    ).rejects.toMatchObject({
      code: 'FRONTEND_UNSUPPORTED',
      message: expect.stringContaining(kernel?.reason ?? ''),
    });
  });

  it('opens no file of the machine for an image, unless it is told which folders have images', async () => {
    for (const path of ['/etc/passwd', '/no/such/file']) {
      const body = { name: 'closed', source: { file: { path } } };
      expect(await codeOf('image.create', body)).toBe('IMAGE_FILES_CLOSED');
    }
    expect(await e2e.client.request('image.list', {})).toEqual({ images: [] });
    await expect(e2e.client.request('image.get', { image: 'closed' })).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    });
  });

  it('refuses to take away the last healthy replica', async () => {
    const { replicas } = await e2e.client.request('replica.list', { volume: 'there' });
    for (const { id } of replicas.slice(1))
      await e2e.client.request('replica.remove', { volume: 'there', replica: id });
    expect(
      await codeOf('replica.remove', { volume: 'there', replica: replicas[0]?.id ?? '' }),
    ).toBe('LAST_REPLICA');
  });

  it('on a stream is kept with its reason, and an operator can list it', async () => {
    const { connection, client } = e2e;
    connection.publish(commandSubject('n1', 'replica.create'), 'no envelope');
    const { deadLetters } = await until('the dead letters', 15_000, async () => {
      const listed = await client.request('dead-letter.list', {});
      return listed.kept >= 1 ? listed : undefined;
    });
    expect(deadLetters).toContainEqual(
      expect.objectContaining({
        stream: STREAMS.commands.name,
        subject: commandSubject('n1', 'replica.create'),
        bodyBegin: 'no envelope',
        reason: expect.objectContaining({ code: 'REQUEST_MALFORMED', kind: 'invalid' }),
      }),
    );
  });
});
