import { definePlugin } from '@lariat/plugin';
import { Module } from '@nestjs/common';
import { ImageController } from './image.controller.js';

@Module({ controllers: [ImageController] })
class BackingImageModule {}

export const plugin = definePlugin({
  name: 'backing-image-svc',
  version: '0.1.0',
  description: 'Disk images and their copies',
  module: BackingImageModule,
  subjects: ['image.*'],
});
