import {
  type ErrorCode,
  type ImageCopyReference,
  type NvmfEndpoint,
  imageFetchHostNqn,
  lariatError,
  nodeHostNqn,
} from '@lariat/contracts';
import { LariatError } from '@lariat/kernel';
import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import { imagePatchNqn } from '../domain/names.js';
import { imageCopyOwner } from '../domain/ownership.js';
import type { ConnectedDevice } from '../ports/block-connector.port.js';
import type { ImageCopies } from './image-copies.js';
import type { LvolReader } from './lvol-reader.js';
import type { MadeLvol } from './lvols.js';

/** Failed I/O on this node's own target: what passes is tried again, when that target is back. */
const OWN: Readonly<Record<BlockIoFailure, ErrorCode>> = {
  [BlockIoFailure.gone]: 'TARGET_UNAVAILABLE',
  [BlockIoFailure.aborted]: 'TARGET_UNAVAILABLE',
  [BlockIoFailure.noSpace]: 'DISK_FULL',
  [BlockIoFailure.media]: 'IMAGE_COPY_CORRUPT',
  [BlockIoFailure.readOnly]: 'TARGET_REFUSED',
  [BlockIoFailure.outOfRange]: 'TARGET_REFUSED',
};

/** On another node's: the caller may turn to another copy, or to the same when it is back. */
const SOURCE: Readonly<Record<BlockIoFailure, ErrorCode>> = {
  ...OWN,
  [BlockIoFailure.gone]: 'IMAGE_SOURCE_LOST',
  [BlockIoFailure.aborted]: 'IMAGE_SOURCE_LOST',
};

const ADVICE: Partial<Readonly<Record<ErrorCode, string>>> = {
  DISK_FULL: 'free space or choose another disk',
  IMAGE_COPY_CORRUPT: 'its disk cannot be read there; replace the copy from another',
  IMAGE_SOURCE_LOST: 'fetch from another copy',
};

type Side = 'own' | 'source';

export type ImageDevice = Pick<
  ConnectedDevice,
  'sizeBytes' | 'read' | 'write' | 'writeZeroes' | 'flush'
>;

/** The content of copies: of this node's, and of those that it fetches from. A failure says which side it is of. */
export class ImageIo {
  constructor(
    private readonly node: string,
    private readonly images: ImageCopies,
    private readonly reader: LvolReader,
  ) {}

  /** Through an export of the draft that goes afterwards. */
  whileWritable<T>(
    copy: ImageCopyReference,
    draft: MadeLvol,
    use: (device: ImageDevice) => Promise<T>,
  ): Promise<T> {
    const reading = {
      lvol: draft,
      owner: imageCopyOwner(copy.image, copy.disk),
      volume: null,
      operation: draft.operation,
      nqn: imagePatchNqn(draft.uuid),
    };
    return this.reader.whileOpen(reading, (device) => use(tellingSide(device, 'own', copy)));
  }

  /** Through the export of the sealed copy that others may be reading through as well. */
  async whileReadable<T>(
    copy: ImageCopyReference,
    use: (device: ImageDevice) => Promise<T>,
  ): Promise<T> {
    const self = nodeHostNqn(this.node);
    const endpoint = await this.images.admit(copy, self);
    try {
      return await this.reader.whileConnected(endpoint, (device) =>
        use(tellingSide(device, 'own', copy)),
      );
    } finally {
      await this.images.dismiss(copy, self);
    }
  }

  /** Another copy, which the one that is being made is a copy of. */
  async whileFetching<T>(
    copy: ImageCopyReference,
    source: NvmfEndpoint,
    use: (device: ImageDevice) => Promise<T>,
  ): Promise<T> {
    let isConnected = false;
    const begin = (device: ConnectedDevice): Promise<T> => {
      isConnected = true;
      return use(tellingSide(device, 'source', copy));
    };
    const hostNqn = imageFetchHostNqn(copy.image, copy.disk);
    try {
      return await this.reader.whileConnected(source, begin, hostNqn);
    } catch (reason) {
      throw isConnected ? reason : ioError('source', copy, reason);
    }
  }
}

function tellingSide(device: ImageDevice, side: Side, copy: ImageCopyReference): ImageDevice {
  const telling = async <T>(io: Promise<T>): Promise<T> => {
    try {
      return await io;
    } catch (reason) {
      throw reason instanceof LariatError ? reason : ioError(side, copy, reason);
    }
  };
  return {
    sizeBytes: device.sizeBytes,
    read: (offsetBytes, lengthBytes) => telling(device.read(offsetBytes, lengthBytes)),
    write: (offsetBytes, data) => telling(device.write(offsetBytes, data)),
    writeZeroes: (offsetBytes, lengthBytes) =>
      telling(device.writeZeroes(offsetBytes, lengthBytes)),
    flush: () => telling(device.flush()),
  };
}

/** Failed I/O, or a failed connect, as a command answers it. */
function ioError(side: Side, { image, disk }: ImageCopyReference, reason: unknown): Error {
  const codes = side === 'own' ? OWN : SOURCE;
  const code = codes[reason instanceof BlockIoError ? reason.failure : BlockIoFailure.gone];
  const what =
    side === 'own' ? `image ${image} on disk ${disk}` : `the source of image ${image} for ${disk}`;
  const message = reason instanceof Error ? reason.message : String(reason);
  const advice = ADVICE[code];
  const then = advice === undefined ? '' : `; ${advice}`;
  return lariatError(code, `${what}: ${message}${then}`, { image, disk }, reason);
}
