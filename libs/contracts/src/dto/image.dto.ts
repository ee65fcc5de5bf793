import { Type } from 'class-transformer';
import {
  IsIn,
  IsInt,
  IsObject,
  IsOptional,
  IsString,
  Matches,
  Max,
  MaxLength,
  Min,
  ValidateNested,
} from 'class-validator';
import {
  IsFlag,
  IsLabels,
  IsNewName,
  IsReference,
  IsReplicaCount,
  IsVolumeSize,
} from './fields.js';
import { ImageState } from '../image.js';
import { IsOneOf, IsOrder, ListRequest } from './list.dto.js';
import { MutatingRequest } from './volume.dto.js';

/** The first is the one that a list has when none is asked for. */
export const IMAGE_ORDERS = ['name', 'created', 'size'] as const;

export class ListImagesRequest extends ListRequest {
  @IsOrder(IMAGE_ORDERS)
  sort?: (typeof IMAGE_ORDERS)[number];

  @IsOneOf('state', Object.values(ImageState))
  state?: ImageState;
}

export class ImageReference {
  @IsReference('image')
  image!: string;
}

const MAX_TEXT = 4_096;

export class ImageFileRequest {
  /** Whose agent reads it; left out: the image service itself does, on the machine that it runs on. */
  @IsOptional()
  @IsReference('source.file.node')
  node?: string;

  @IsString({ message: 'source.file.path must be a text.' })
  @MaxLength(MAX_TEXT, { message: `source.file.path must have at most ${MAX_TEXT} characters.` })
  path!: string;
}

/** Bytes that the image service asks for, piece by piece, on `uploadSubject(token)`. */
export class ImageUploadRequest {
  @Matches(/^[a-z0-9]{16,64}$/, { message: 'source.upload.token must be 16 to 64 of a-z and 0-9.' })
  token!: string;

  @IsString({ message: 'source.upload.fileName must be a text.' })
  @MaxLength(255, { message: 'source.upload.fileName must have at most 255 characters.' })
  fileName!: string;

  @IsVolumeSize()
  sizeBytes!: number;
}

/** One of url, file, upload and volume; a snapshot is named with its volume, as in volume.create. */
export class ImageSourceRequest {
  @IsOptional()
  @IsString({ message: 'source.url must be a text.' })
  @MaxLength(MAX_TEXT, { message: `source.url must have at most ${MAX_TEXT} characters.` })
  url?: string;

  @IsOptional()
  @IsObject({ message: 'source.file must be an object.' })
  @ValidateNested()
  @Type(() => ImageFileRequest)
  file?: ImageFileRequest;

  @IsOptional()
  @IsObject({ message: 'source.upload must be an object.' })
  @ValidateNested()
  @Type(() => ImageUploadRequest)
  upload?: ImageUploadRequest;

  @IsOptional()
  @IsReference('source.volume')
  volume?: string;

  @IsOptional()
  @IsReference('source.snapshot')
  snapshot?: string;
}

export class CreateImageRequest extends MutatingRequest {
  @IsNewName('name')
  name!: string;

  @IsObject({
    message:
      'source must be an object: {"url": …}, {"file": {"path": …}}, {"volume": …} or an upload.',
  })
  @ValidateNested()
  @Type(() => ImageSourceRequest)
  source!: ImageSourceRequest;

  /** `sha256:…`, `sha512:…` of the file as given, or the url of a SHA256SUMS or SHA512SUMS file that lists it. */
  @IsOptional()
  @IsString({ message: 'checksum must be a text.' })
  @MaxLength(MAX_TEXT, { message: `checksum must have at most ${MAX_TEXT} characters.` })
  checksum?: string;

  /** Left out: by the content. */
  @IsOptional()
  @IsIn(['raw', 'qcow2'], { message: 'format must be raw or qcow2.' })
  format?: 'raw' | 'qcow2';

  @IsOptional()
  @IsReplicaCount('minimumCopies')
  minimumCopies?: number;

  @IsOptional()
  @IsLabels()
  labels?: Record<string, string>;
}

export class ChangeImageRequest extends MutatingRequest {
  @IsReference('image')
  image!: string;
}

export class DeleteImageRequest extends ChangeImageRequest {
  @IsFlag()
  dryRun?: boolean;
}

export class VerifyImageRequest extends ChangeImageRequest {
  /** The most that is read of each copy; 0 or left out: no limit. */
  @IsOptional()
  @IsInt({ message: 'mibPerSecond must be a whole number of MiB.' })
  @Min(0, { message: 'mibPerSecond must not be negative.' })
  @Max(1_000_000, { message: 'mibPerSecond must be at most 1000000.' })
  mibPerSecond?: number;
}
