import type {
  ImageSourceRecord,
  ImageVerdict,
  ImageVerification,
  ImageView,
} from '@lariat/contracts';
import { formatBytes } from '@lariat/kernel';
import { formatAge } from './durations.js';
import { formatFields, formatTable } from './table.js';

export function imageTable(images: readonly ImageView[]): string {
  return formatTable<ImageView>(
    [
      { title: 'NAME', value: (image) => image.name },
      { title: 'STATE', value: (image) => image.state },
      { title: 'SIZE', align: 'right', value: (image) => formatBytes(image.sizeBytes) },
      { title: 'DATA', align: 'right', value: (image) => formatBytes(image.allocatedBytes) },
      { title: 'FORMAT', value: (image) => image.format ?? '' },
      { title: 'COPIES', value: (image) => image.copies.map(copyText).join(', ') },
      { title: 'AGE', align: 'right', value: (image) => formatAge(image.createdAt) },
    ],
    images,
  );
}

const copyText = ({ node, state }: ImageView['copies'][number]): string =>
  state === 'ready' ? node : `${node} (${state})`;

function sourceText(source: ImageSourceRecord): string {
  if ('url' in source) return source.url;
  if ('upload' in source) return `upload of ${source.upload.fileName}`;
  if ('volume' in source) return `volume ${source.volume.name}`;
  const { node, path } = source.file;
  return node === null ? `file ${path}` : `file ${path} of node ${node}`;
}

export function imageDetails(image: ImageView): string {
  const { failure } = image;
  const fields = formatFields([
    ['name', image.name],
    ['id', image.id],
    ['state', image.state],
    ['failure', failure === null ? '' : `${failure.code}: ${failure.message}`],
    ['source', sourceText(image.source)],
    ['format', image.format ?? ''],
    ['size', `${formatBytes(image.sizeBytes)} (content: ${image.contentBytes} bytes)`],
    ['takes', formatBytes(image.allocatedBytes)],
    ...image.fileChecksums.map((sum): [string, string] => ['file', sum]),
    ...image.checksums.map((sum): [string, string] => ['content', sum]),
    ['clusters', image.rootSha256 ?? ''],
    ['minimum copies', String(image.minimumCopies)],
    ['operation', image.operation ?? ''],
    [
      'labels',
      Object.entries(image.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(', '),
    ],
  ]);
  if (image.copies.length === 0) return fields;
  const table = formatTable<ImageView['copies'][number]>(
    [
      { title: 'COPY ON', value: (copy) => copy.node },
      { title: 'DISK', value: (copy) => copy.disk },
      { title: 'STATE', value: (copy) => copy.state },
      {
        title: 'CHECKED',
        align: 'right',
        value: ({ checkedAt }) => (checkedAt === null ? '' : `${formatAge(checkedAt)} ago`),
      },
    ],
    image.copies,
  );
  return `${fields}\n\n${table}`;
}

const VERDICTS: Readonly<Record<ImageVerdict, string>> = {
  identical: 'every copy that was read is the image',
  repaired: 'those that were not the image were replaced',
  differs: "some are not the image, and could not be replaced now: see 'lariat image get'",
};

export function imageVerificationTable(reply: ImageVerification): string {
  const table = formatTable<ImageVerification['copies'][number]>(
    [
      { title: 'COPY ON', value: (copy) => copy.node },
      { title: 'DISK', value: (copy) => copy.disk },
      { title: 'DIGEST', value: ({ found, reason }) => found ?? `not read: ${reason ?? ''}` },
      { title: '', value: ({ isRight }) => (isRight === false ? 'WRONG' : '') },
    ],
    reply.copies,
  );
  return `${table}\n\n${VERDICTS[reply.verdict]}`;
}
