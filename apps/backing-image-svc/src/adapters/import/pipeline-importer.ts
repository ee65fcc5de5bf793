import { basename } from 'node:path';
import type { LariatClient } from '@lariat/messaging';
import { type Checksum, parseChecksum } from '../../domain/checksum.js';
import type { ImageContent } from '../../domain/apply-change.js';
import { DEFAULT_HOLE_POLICY } from '../../domain/hole-policy.js';
import type { ImageSettings } from '../../domain/import-settings.js';
import { fileNameOf, parseSourceUrl } from '../../domain/source-url.js';
import type { ImageSource } from '../../ports/byte-reader.port.js';
import type { Import, Importer, ImportSource } from '../../ports/importer.port.js';
import { Sandbox } from '../child/sandbox.js';
import { FileSource } from '../file/file-source.js';
import { Workbenches } from '../hash/workbenches.js';
import { expectedChecksum } from '../http/expected-checksum.js';
import { type HttpSettings, httpSettingsFor, proxyFromEnvironment } from '../http/http-settings.js';
import { HttpSource } from '../http/http-source.js';
import { PATH_LOST_MS } from '../nvme/connect-namespace.js';
import { connectDraft } from '../nvme/draft-sink.js';
import { NamespaceSource } from '../nvme/namespace-source.js';
import { ScratchFolder } from '../scratch/scratch-folder.js';
import { NodeFileSource } from '../upload/node-file-source.js';
import { UploadSource } from '../upload/upload-source.js';
import { importImage } from './import-image.js';
import type { ImportResult } from './import-types.js';

/** Imports in this process, over NVMe/TCP into a node's draft. */
export class PipelineImporter implements Importer {
  private sandbox: Promise<Sandbox> | undefined;
  private readonly http: HttpSettings;
  private readonly workbenches = new Workbenches();

  constructor(
    private readonly settings: ImageSettings,
    private readonly env: Readonly<Record<string, string | undefined>>,
    private readonly connection: LariatClient['connection'],
  ) {
    this.http = {
      ...httpSettingsFor(settings.patienceMs),
      allowedAddresses: settings.allowedAddresses,
      proxy: proxyFromEnvironment(env),
      maxBytes: settings.maxBytes,
    };
  }

  async import(task: Import): Promise<ImageContent> {
    const { scratch, maxBytes } = this.settings;
    const source = this.open(task);
    const checksum = await this.checksum(task);
    this.sandbox ??= Sandbox.detect(this.env.PATH ?? '');
    const sandbox = await this.sandbox;
    // Every copy has the digests too, and they are read from there. In a folder that is swept when the service dies.
    const folder = await ScratchFolder.make(scratch);
    const digestsPath = folder.file('digests');
    try {
      const result = await importImage({
        source,
        options: {
          ...{ checksum, format: task.format, maxSizeBytes: maxBytes, digestsPath },
          // A volume may hold what looks like another format: its bytes are the content all the same.
          isContent: 'namespace' in task.source,
        },
        environment: {
          ...{ scratchParent: scratch, sandbox, workbenches: this.workbenches },
          holes: DEFAULT_HOLE_POLICY,
        },
        openSink: async (sizeBytes) => connectDraft(await task.openDraft(sizeBytes), sizeBytes),
        signal: task.signal,
        onProgress: task.onProgress,
      });
      return contentOf(result);
    } finally {
      await folder.remove();
    }
  }

  close(): Promise<void> {
    return this.workbenches.close();
  }

  private checksum({ checksum, source, signal }: Import): Promise<Checksum | null> | null {
    if (checksum === null) return null;
    return expectedChecksum(checksum, fileNameIn(source), this.http, signal);
  }

  private open({ source, serveFile }: Import): ImageSource {
    const { maxBytes, folders } = this.settings;
    if ('namespace' in source) {
      const { description, map, ...access } = source.namespace;
      return new NamespaceSource(description, { ...access, ctrlrLossTimeoutMs: PATH_LOST_MS }, map);
    }
    if ('url' in source) return new HttpSource(parseSourceUrl(source.url), this.http);
    if ('upload' in source) return new UploadSource(this.connection, source.upload, maxBytes);
    const { node, path } = source.file;
    if (node === null) return new FileSource(path, { maxBytes, folders });
    return new NodeFileSource(this.connection, { node, path }, serveFile, maxBytes);
  }
}

/** The name under which a list of sums has the file. */
function fileNameIn(source: ImportSource): string {
  if ('namespace' in source) return '';
  if ('url' in source) return fileNameOf(new URL(source.url));
  return 'file' in source ? basename(source.file.path) : source.upload.fileName;
}

/** Refuses what can never be a checksum before anything is begun; a url is looked up by the import. */
export function assertChecksum(text: string): void {
  if (/^https?:/i.test(text)) parseSourceUrl(text);
  else parseChecksum(text);
}

function contentOf({ format, file, content, device }: ImportResult): ImageContent {
  return {
    format,
    sizeBytes: device.sizeBytes,
    contentBytes: content.sizeBytes,
    dataClusters: device.dataClusters,
    checksums: {
      file: file.sums === null ? null : { ...file.sums },
      content: content.sums === null ? null : { ...content.sums },
      rootSha256: device.rootDigest,
    },
  };
}
