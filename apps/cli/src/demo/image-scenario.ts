import { createHash } from 'node:crypto';
import { open as openFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { CLUSTER_SIZE_BYTES, formatBytes, MIB } from '@lariat/kernel';
import { serveUpload } from '../client/serve-upload.js';
import type { OpenSession, Session } from '../client/session.js';
import type { CommandContext } from '../context.js';
import { change } from './change.js';
import { sha256Of } from './expected-content.js';
import { NbdClient } from './nbd-client.js';
import type { Story } from './story.js';
import { failure, mustBeEqual, short, type ScenarioResult } from './verdict.js';

const IMAGE = 'demo-image';
const VOLUME = 'from-image';
const REPLICAS = 3;
const SIZE_BYTES = 32 * MIB;
/** The second one begins and ends within a cluster; all else is holes. */
const DATA = [
  { offsetBytes: 0, lengthBytes: 3 * MIB },
  { offsetBytes: 20 * MIB + 4096, lengthBytes: MIB },
] as const;

interface MadeImage {
  readonly path: string;
  readonly packedBytes: number;
  readonly fileSha256: string;
  readonly contentSha256: string;
}

/** An image that is made here, imported, and used by a volume, whose content is compared with it; both go again. */
export class ImageScenario {
  constructor(
    private readonly story: Story,
    private readonly context: CommandContext,
    private readonly open: OpenSession,
    /** Where the volume is used. */
    private readonly node: string,
    private readonly result: ScenarioResult,
  ) {}

  async run(): Promise<void> {
    const made = await this.importImage();
    await this.makeVolume();
    await this.compare(made);
    await this.story.step('image-delete', 'delete the volume and the image', async () => {
      await this.inTrace('delete from image', (session) =>
        change(this.context, session, 'volume.delete', { volume: VOLUME }),
      );
      await this.inTrace('image delete', (session) =>
        change(this.context, session, 'image.delete', { image: IMAGE }),
      );
    });
  }

  private async importImage(): Promise<MadeImage> {
    const made = await makeImage(join(this.context.paths.dataDir, `${IMAGE}.img.gz`));
    this.result.checksums.image = made.contentSha256;
    await this.story.step(
      'image',
      `import a sparse image of ${formatBytes(SIZE_BYTES)}, as a gzip file of ${formatBytes(made.packedBytes)}`,
      async () => {
        const image = await this.inTrace('image create', (session) => this.upload(session, made));
        mustBeEqual(
          'the image',
          `sha256:${made.contentSha256}`,
          image.checksums.find((sum) => sum.startsWith('sha256:')) ?? 'none',
        );
        return image;
      },
      ({ allocatedBytes }) => {
        const clusters = `${allocatedBytes / CLUSTER_SIZE_BYTES} of ${SIZE_BYTES / CLUSTER_SIZE_BYTES}`;
        return `${clusters} clusters are kept, sha256 ${short(made.contentSha256)}`;
      },
    );
    return made;
  }

  private async upload(session: Session, { path, fileSha256 }: MadeImage) {
    const served = await serveUpload(session.connection, path);
    try {
      return await change(this.context, session, 'image.create', {
        name: IMAGE,
        source: { upload: served.upload },
        checksum: `sha256:${fileSha256}`,
      });
    } finally {
      await served.close();
    }
  }

  private async makeVolume(): Promise<void> {
    await this.story.step(
      'image-volume',
      `create a volume from it, with ${REPLICAS} replicas`,
      () =>
        this.inTrace('create from image', async (session) => {
          const body = { name: VOLUME, image: IMAGE, replicas: REPLICAS };
          await change(this.context, session, 'volume.create', body);
          return session.request('image.get', { image: IMAGE });
        }),
      ({ copies }) => `the image is on ${copies.map(({ node }) => node).join(', ')}`,
    );
  }

  private async compare({ contentSha256 }: MadeImage): Promise<void> {
    await this.story.step(
      'image-compare',
      'read the volume, and its replicas on their nodes, and compare them with the image',
      async () => {
        this.result.checksums.imageReadBack = await this.readAttached();
        await this.inTrace('detach from image', (session) =>
          change(this.context, session, 'volume.detach', { volume: VOLUME }),
        );
        mustBeEqual(
          'the volume from the image',
          contentSha256,
          this.result.checksums.imageReadBack,
        );
        const { replicas } = await this.inTrace('checksum from image', (session) =>
          session.request('replica.checksum', { volume: VOLUME }),
        );
        for (const { node, sha256 } of replicas)
          mustBeEqual(`its replica on ${node}`, contentSha256, sha256);
        if (replicas.length !== REPLICAS)
          throw failure('DEMO_REPLICAS_MISSING', `It has ${replicas.length} replicas.`);
      },
      () => 'the same',
    );
  }

  private async readAttached(): Promise<string> {
    const { attachment } = await this.inTrace('attach from image', (session) =>
      change(this.context, session, 'volume.attach', {
        ...{ volume: VOLUME, node: this.node, frontend: 'nbd' as const },
      }),
    );
    const client = await NbdClient.connect(attachment?.endpoint ?? '');
    try {
      return await sha256Of(client.readAll(0, client.sizeBytes));
    } finally {
      await client.close();
    }
  }

  private inTrace<T>(name: string, work: (session: Session) => Promise<T>): Promise<T> {
    return this.open.inTrace(`lariat demo ${name}`, work);
  }
}

/** Real content, of the program that runs this, with holes. */
async function makeImage(path: string): Promise<MadeImage> {
  const content = Buffer.alloc(SIZE_BYTES);
  const program = await openFile(process.execPath, 'r');
  try {
    for (const { offsetBytes, lengthBytes } of DATA)
      await program.read(content, offsetBytes, lengthBytes, offsetBytes);
  } finally {
    await program.close();
  }
  const packed = await promisify(gzip)(content, { level: 1 });
  await writeFile(path, packed);
  return {
    ...{ path, packedBytes: packed.length },
    fileSha256: sha256(packed),
    contentSha256: sha256(content),
  };
}

const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
