import { randomBytes } from 'node:crypto';
import { hasCode, type VolumeView } from '@lariat/contracts';
import { MIB, toLariatError } from '@lariat/kernel';
import { NvmeTcpHost } from '@lariat/nvme-tcp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseEndpoint } from '../vm/nvme-connection.js';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 4 * MIB;
/** How long a host waits for a volume that has gone elsewhere. */
const LOSS_MS = 2_000;
const [NAMED, OTHER] = ['nqn.2026-11.io.example:named', 'nqn.2026-11.io.example:other'];

type Attachment = NonNullable<VolumeView['attachment']>;

describe('a volume that hosts use over NVMe/TCP', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e();
    for (const name of ['own', 'named'])
      await e2e.client.request('volume.create', { name, sizeBytes: SIZE_BYTES, replicas: 3 });
  });
  afterAll(async () => {
    await e2e.stop();
  });

  async function attach(
    volume: string,
    node: string,
    more: { readonly hostNqns?: string[]; readonly force?: boolean } = {},
  ): Promise<Attachment> {
    const view = await e2e.client.request('volume.attach', { volume, node, ...more });
    if (view.attachment === null) throw new Error(`${volume} is not attached`);
    return view.attachment;
  }

  const connect = (
    { endpoint }: Attachment,
    hostnqn: string,
  ): ReturnType<typeof NvmeTcpHost.connect> => {
    const { address: traddr, port: trsvcid, nqn: subnqn } = parseEndpoint(endpoint ?? '');
    return NvmeTcpHost.connect({
      ...{ traddr, trsvcid, subnqn, hostnqn },
      ctrlrLossTimeoutMs: LOSS_MS,
    });
  };

  /** That the target itself turns the host away. */
  async function expectRefused(attachment: Attachment, host: string): Promise<void> {
    const reason = await connect(attachment, host).then(
      async (connected) => {
        await connected.close();
        return 'let in';
      },
      (error: unknown) => toLariatError(error).message,
    );
    expect(reason).toMatch(/host/i);
  }

  async function readsWhatItWrites(attachment: Attachment, host: string): Promise<void> {
    const connected = await connect(attachment, host);
    try {
      const [namespace] = connected.namespaces();
      const data = randomBytes(MIB);
      await namespace?.write(0, data);
      expect((await namespace?.read(0, MIB))?.equals(data)).toBe(true);
    } finally {
      await connected.close();
    }
  }

  const ownOf = ({ hostNqns }: Attachment): string => {
    expect(hostNqns).toHaveLength(1);
    return hostNqns?.[0] ?? '';
  };

  it('lets in the host that the answer names, and no other', async () => {
    const attachment = await attach('own', 'n1');
    expect((await e2e.client.request('volume.get', { volume: 'own' })).attachment).toEqual(
      attachment,
    );
    await readsWhatItWrites(attachment, ownOf(attachment));
    await expectRefused(attachment, OTHER);
  });

  it('lets in no host of an earlier epoch, after a force and after a detach', async () => {
    const first = await attach('own', 'n1');
    const connected = await connect(first, ownOf(first));
    const second = await attach('own', 'n2', { force: true });
    expect(ownOf(second)).not.toBe(ownOf(first));
    await expectRefused(second, ownOf(first));
    await readsWhatItWrites(second, ownOf(second));
    await expect(connected.namespaces()[0]?.write(0, Buffer.alloc(4096))).rejects.toThrow(/./);
    await connected.close();
    await e2e.client.request('volume.detach', { volume: 'own' });
    const third = await attach('own', 'n2');
    await expectRefused(third, ownOf(first));
    await expectRefused(third, ownOf(second));
    await readsWhatItWrites(third, ownOf(third));
  });

  it('lets in those that are named, joins who asks for the same, and says who is there to who does not', async () => {
    const hostNqns = [OTHER, NAMED];
    const attachment = await attach('named', 'n1', { hostNqns });
    expect(attachment.hostNqns?.toSorted()).toEqual([NAMED, OTHER]);
    for (const host of hostNqns) await readsWhatItWrites(attachment, host);
    await expectRefused(attachment, 'nqn.2026-11.io.example:third');
    expect(await attach('named', 'n1', { hostNqns: [NAMED, OTHER] })).toEqual(attachment);
    for (const more of [{}, { hostNqns: [NAMED] }]) {
      const refused = await attach('named', 'n1', more).catch((reason: unknown) => reason);
      expect(hasCode(refused, 'VOLUME_ATTACHED')).toBe(true);
      expect(toLariatError(refused).message).toContain(`for ${NAMED}, ${OTHER}:`);
      expect(toLariatError(refused).details).toMatchObject({ hostNqns: [NAMED, OTHER] });
    }
  });

  it('lets in the same hosts when its target and its agent have been killed', async () => {
    const { attachment } = await e2e.client.request('volume.get', { volume: 'named' });
    if (attachment === null) throw new Error('not attached');
    await e2e.cluster.killNode('n1');
    await e2e.cluster.startNode('n1');
    const isBack = await until('the named host to be let in again', 60_000, async () => {
      const connected = await connect(attachment, NAMED).catch(() => undefined);
      await connected?.close();
      return connected === undefined ? undefined : true;
    });
    expect(isBack).toBe(true);
    await readsWhatItWrites(attachment, OTHER);
    await expectRefused(attachment, 'nqn.2026-11.io.example:third');
  });

  it('goes and leaves nothing', async () => {
    for (const volume of ['own', 'named']) {
      await e2e.client.request('volume.detach', { volume });
      await e2e.client.request('volume.delete', { volume });
    }
    expect(await e2e.leftovers(40_000)).toEqual([]);
  });
});
