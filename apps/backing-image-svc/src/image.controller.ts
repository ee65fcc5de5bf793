import { ImageReference, type ImageView, lariatError } from '@lariat/contracts';
import { OnRequest } from '@lariat/messaging';
import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';

/** There are no images yet, and no way to make one: the catalogue is empty, and says so. */
@Controller()
export class ImageController {
  @OnRequest('image.list')
  list(): { images: readonly ImageView[] } {
    return { images: [] };
  }

  @OnRequest('image.get')
  get(@Payload() request: ImageReference): never {
    throw lariatError('IMAGE_NOT_FOUND', `There is no image '${request.image}'.`, {
      image: request.image,
    });
  }
}
