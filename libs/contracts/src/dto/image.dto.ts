import { IsReference } from './fields.js';

export class ListImagesRequest {}

export class ImageReference {
  @IsReference('image')
  image!: string;
}
