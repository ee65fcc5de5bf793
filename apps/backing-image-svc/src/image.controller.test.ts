import { expect, it } from 'vitest';
import { ImageController } from './image.controller.js';

it('has an empty catalogue, and says of any image that it is not there', () => {
  const images = new ImageController();
  expect(images.list()).toEqual({ images: [] });
  expect(() => images.get({ image: 'debian' })).toThrow("There is no image 'debian'.");
});
