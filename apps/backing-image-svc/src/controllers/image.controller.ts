import {
  CreateImageRequest,
  DeleteImageRequest,
  type DryRun,
  ImageReference,
  type ImageSourceRecord,
  type ImageSourceRequest,
  type ImageVerification,
  type ImageView,
  ListImagesRequest,
  type OperationAccepted,
  VerifyImageRequest,
  lariatError,
  toImageView,
} from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import { EncodedJson, MessageContext, OnRequest } from '@lariat/messaging';
import { encodePage, facet, listPage } from '@lariat/read-model';
import { runOperation } from '@lariat/saga';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { ownFolders } from '../adapters/file/file-source.js';
import { assertChecksum } from '../adapters/import/pipeline-importer.js';
import { IMAGE_SERVICE, type ImageService } from '../app-tokens.js';
import { imageNotReady } from '../domain/apply-change.js';
import { parseSourceUrl } from '../domain/source-url.js';
import { imageInUse, isDeletable } from '../sagas/delete-image.saga.js';

/** One copy more than is lost with a node. */
const DEFAULT_MINIMUM_COPIES = 2;

@Controller()
export class ImageController {
  constructor(@Inject(IMAGE_SERVICE) private readonly service: ImageService) {}

  @OnRequest('image.list')
  async list(@Payload() request: ListImagesRequest): Promise<EncodedJson> {
    const { state } = request;
    const facets = state === undefined ? [] : [facet('state', state)];
    return encodePage('images', await listPage(this.service.listed, request, facets));
  }

  @OnRequest('image.get')
  async get(@Payload() request: ImageReference): Promise<ImageView> {
    return toImageView(await this.service.images.find(request.image));
  }

  @OnRequest('image.create')
  create(
    @Payload() request: CreateImageRequest,
    @Ctx() context: MessageContext,
  ): Promise<ImageView | OperationAccepted> {
    return this.run<ImageView>('image.create', request.wait, context, async () => {
      if (request.checksum !== undefined) assertChecksum(request.checksum);
      const { volume } = request.source;
      const source =
        volume === undefined
          ? sourceOf(request.source)
          : await this.volumeSource(request.source, volume, request.format);
      if ('file' in source) await this.assertReadable(source.file.node);
      return {
        name: request.name,
        source: { ...source },
        checksum: request.checksum ?? null,
        format: request.format ?? null,
        minimumCopies: request.minimumCopies ?? DEFAULT_MINIMUM_COPIES,
        labels: request.labels ?? {},
      };
    });
  }

  @OnRequest('image.verify')
  verify(
    @Payload() request: VerifyImageRequest,
    @Ctx() context: MessageContext,
  ): Promise<ImageVerification | OperationAccepted> {
    return this.run<ImageVerification>('image.verify', request.wait, context, async () => {
      const record = await this.service.images.find(request.image);
      if (record.state !== 'ready') throw imageNotReady(record, `is ${record.state}`);
      return { image: record.id, mibPerSecond: request.mibPerSecond ?? 0 };
    });
  }

  @OnRequest('image.delete')
  async delete(
    @Payload() request: DeleteImageRequest,
    @Ctx() context: MessageContext,
  ): Promise<ImageView | OperationAccepted | DryRun> {
    if (request.dryRun === true) return this.wouldDelete(request.image);
    return this.run<ImageView>('image.delete', request.wait, context, async () => ({
      image: (await this.service.images.find(request.image)).id,
    }));
  }

  /** Before anything is on record: there no file can be read, whichever it is. */
  private async assertReadable(node: string | null): Promise<void> {
    if (node === null) ownFolders(this.service.settings).assertOpen();
    else await this.service.client.request('node.get', { node });
  }

  /** Found by its name now; whether it can be read is judged when its snapshot is taken, or kept. */
  private async volumeSource(
    request: ImageSourceRequest,
    reference: string,
    format: CreateImageRequest['format'],
  ): Promise<ImageSourceRecord> {
    assertOneSource(request);
    if (format === 'qcow2') {
      throw lariatError(
        'IMAGE_SOURCE_INVALID',
        'What a volume holds is taken as it is: an image of it is raw. Leave the format out.',
      );
    }
    const volume = await this.service.client.request('internal.volume.record', {
      volume: reference,
      fresh: true,
    });
    const { id, name } = volume;
    if (request.snapshot === undefined) return { volume: { id, name, snapshot: null } };
    const wanted = { volume: id, snapshot: request.snapshot };
    const snapshot = await this.service.client.request('snapshot.get', wanted);
    return { volume: { id, name: `${name}@${snapshot.name}`, snapshot: snapshot.id } };
  }

  private async wouldDelete(reference: string): Promise<DryRun> {
    const record = await this.service.images.find(reference);
    if (!isDeletable(record)) throw imageNotReady(record, `is ${record.state}`);
    const { volumes } = await this.service.client.request('internal.volume.users-of-image', {
      image: record.id,
    });
    if (volumes.length > 0) throw imageInUse(record.name, volumes);
    return {
      dryRun: true,
      would: [
        `delete image '${record.name}' (${record.sizeBytes} bytes)`,
        ...record.copies.map(
          ({ node, disk }) => `delete its copy on disk ${disk} of node '${node}'`,
        ),
      ],
    };
  }

  private run<T>(
    kind: string,
    wait: boolean | undefined,
    context: MessageContext,
    prepare: () => Json | Promise<Json>,
  ): Promise<T | OperationAccepted> {
    const { requestId, actor } = context.facts;
    return runOperation<T>(this.service.runner, {
      ...{ kind, actor, requestId, wait },
      // What is wrong with a request is told as any failure of it is.
      prepare: async () => prepare(),
    });
  }
}

function assertOneSource({ url, file, upload, volume, snapshot }: ImageSourceRequest): void {
  const given = [url, file, upload, volume].filter((source) => source !== undefined);
  if (given.length === 1 && (snapshot === undefined || volume !== undefined)) return;
  throw lariatError(
    'IMAGE_SOURCE_INVALID',
    'An image comes from one source: {"url": "https://…"}, {"file": {"path": "/…"}}, {"volume": "…"}, {"volume": "…", "snapshot": "…"} or an upload.',
  );
}

function sourceOf(request: ImageSourceRequest): ImageSourceRecord {
  assertOneSource(request);
  const { url, file, upload } = request;
  if (upload !== undefined) {
    const { token, fileName, sizeBytes } = upload;
    return { upload: { token, fileName, sizeBytes } };
  }
  if (url !== undefined) return { url: parseSourceUrl(url).href };
  if (file === undefined || !file.path.startsWith('/'))
    throw lariatError('IMAGE_SOURCE_INVALID', "The path of a file begins with '/'.");
  return { file: { node: file.node ?? null, path: file.path } };
}
