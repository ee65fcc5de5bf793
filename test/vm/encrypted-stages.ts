import { execFileSync } from 'node:child_process';
import { readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { type CallScope, type ClusterPort, nodePart } from '@lariat/csi-plugin';
import type { VolumeContent } from '@lariat/contracts';

/**
 * Runs in the guest: an encrypted volume through its life on a node, on devices as an agent makes them. What was seen goes to
 * standard output, as JSON; the cluster is imagined, the programs, the kernel and what it tells of its devices are real.
 */
const VOLUME = 'vol-0123456789ab';
const PASSPHRASE = 'what nobody may read';
const TEXT = 'what a pod has written';
const [dataDir = '', backing = ''] = process.argv.slice(2);
const STAGING = `${dataDir}/staging`;
const SECTORS = 131_072;

let content: VolumeContent = { state: 'blank' };
let epoch = 3;
let sizeBytes = SECTORS * 512;

const run = (program: string, ...args: readonly string[]): string =>
  execFileSync(program, args, {
    encoding: 'utf8',
    env: { ...process.env, DM_DISABLE_UDEV: '1', PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
  });

const deviceName = (): string => `agent-${epoch}`;
const table = (): string => `0 ${sizeBytes / 512} linear ${backing} 0`;
const makeDevice = (): string =>
  run(
    'dmsetup',
    ...['create', deviceName(), '--uuid', `LARIAT-${VOLUME}-${epoch}.1`, '--table', table()],
  );

/** Leads the content as the volume service does, whose own tests have what it refuses. */
function setContent({ event, fsType, uuid, inside }: Record<string, unknown>): void {
  const made = { fsType: String(fsType), uuid: String(uuid) };
  const next: VolumeContent =
    event === 'intend-format'
      ? { state: 'format-intended', ...made }
      : {
          ...{ state: 'initialised', ...made },
          ...(fsType === 'crypto_LUKS' ? { inside: { state: 'blank' } as const } : {}),
        };
  content =
    inside === true && content.state === 'initialised' ? { ...content, inside: next } : next;
}

const cluster = {
  request: (name: string, body: Record<string, unknown>) => {
    if (name === 'internal.volume.set-content') setContent(body);
    const endpoint = `/dev/${run('dmsetup', 'info', '-c', '--noheadings', '-o', 'blkdevname', deviceName()).trim()}`;
    return Promise.resolve({
      ...{ id: VOLUME, name: 'v', sizeBytes, state: 'attached', content },
      attachment: { epoch, node: 'n1', frontend: 'kernel', endpoint, inSync: [] },
    });
  },
} as unknown as ClusterPort;

const calls = nodePart({
  ...{ cluster, node: 'n1', dataDir, maxVolumes: 9 },
  log: { info: () => undefined },
});
const scope: CallScope = { leftMs: () => 300_000, signal: new AbortController().signal };
const request = {
  ...{ volumeId: VOLUME, stagingTargetPath: STAGING, publishContext: {} },
  volumeContext: { encrypted: 'true' },
  secrets: { encryptionPassphrase: PASSPHRASE },
  volumeCapability: {
    mount: { fsType: 'ext4', mountFlags: [], volumeMountGroup: '' },
    accessMode: { mode: 'SINGLE_NODE_WRITER' as const },
  },
};
const file = `${STAGING}/file`;
const mappings = (): readonly string[] =>
  run('dmsetup', 'info', '-c', '--noheadings', '-o', 'name', '--select', 'uuid=~^CRYPT')
    .split('\n')
    .filter((line) => line.startsWith('lariat-'));
const filledBytes = (): number => {
  const { blocks, bsize } = statfsSync(STAGING);
  return blocks * bsize;
};

makeDevice();
await calls.NodeStageVolume(request, scope);
writeFileSync(file, TEXT, { flush: true });
const first = mappings();
const small = filledBytes();
const wrong = await calls
  .NodeStageVolume({ ...request, stagingTargetPath: `${STAGING}-2`, secrets: {} }, scope)
  .then(
    () => 'staged',
    (error: unknown) => String(error),
  );
await calls.NodeUnstageVolume(request, scope);
const afterUnstage = mappings();

await calls.NodeStageVolume(request, scope);
const readAgain = readFileSync(file, 'utf8');

sizeBytes += 32 * 1024 * 1024;
run('dmsetup', 'reload', deviceName(), '--table', table());
run('dmsetup', 'resume', deviceName());
await calls.NodeExpandVolume(
  {
    ...request,
    volumePath: STAGING,
    capacityRange: { requiredBytes: String(sizeBytes), limitBytes: '0' },
  },
  scope,
);
const grown = filledBytes();

// The attachment is lost with its device, and there is another one.
run('sync');
const dead = deviceName();
run('dmsetup', 'suspend', '--noflush', '--nolockfs', dead);
run('dmsetup', 'reload', dead, '--table', `0 ${sizeBytes / 512} error`);
run('dmsetup', 'resume', dead);
epoch += 1;
makeDevice();
await calls.NodeStageVolume(request, scope);
const afterLoss = { mappings: mappings(), text: readFileSync(file, 'utf8') };
await calls.NodeUnstageVolume(request, scope);

const journal = readFileSync(`${dataDir}/commands.jsonl`, 'utf8');
const begun = journal
  .split('\n')
  .filter((line) => line.includes('"is":"begun"'))
  .map(
    (line) => JSON.parse(line) as { readonly program: string; readonly args: readonly string[] },
  );
const onDisk = readFileSync(backing);
process.stdout.write(
  `${JSON.stringify({
    ...{ first, wrong, afterUnstage, readAgain, afterLoss, content },
    ...{ small, grown, afterAll: mappings() },
    headersMade: begun.filter(({ args }) => args[0] === 'luksFormat').length,
    fileSystemsMade: begun.filter(({ program }) => program.startsWith('mkfs')).length,
    isPassphraseTold: journal.includes(PASSPHRASE),
    isTextOnDisk: onDisk.includes(TEXT),
  })}\n`,
);
