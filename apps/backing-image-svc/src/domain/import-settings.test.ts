import { expect, it } from 'vitest';
import { isAllowedAddress } from './address-guard.js';
import { imageSettingsFrom } from './import-settings.js';

it('fetches from public addresses alone, and takes no files, unless it is told otherwise', () => {
  const settings = imageSettingsFrom({});
  expect(isAllowedAddress('127.0.0.1', settings.allowedAddresses)).toBe(false);
  expect(settings.folders).toEqual([]);
  const told = imageSettingsFrom({
    LARIAT_IMAGE_ALLOW: '10.0.0.0/8, 127.0.0.1',
    LARIAT_IMAGE_FOLDERS: '/srv/images:/mnt/iso',
    LARIAT_IMAGE_EVICT_AFTER_MS: '0',
  });
  expect(isAllowedAddress('127.0.0.1', told.allowedAddresses)).toBe(true);
  expect(isAllowedAddress('192.168.1.1', told.allowedAddresses)).toBe(false);
  expect(told).toMatchObject({ folders: ['/srv/images', '/mnt/iso'], evictAfterMs: 0 });
});

it('does not start with a setting that it cannot read', () => {
  expect(() => imageSettingsFrom({ LARIAT_IMAGE_MAX_BYTES: 'much' })).toThrow(
    'LARIAT_IMAGE_MAX_BYTES',
  );
  // It would give up every server at once.
  expect(() => imageSettingsFrom({ LARIAT_IMAGE_PATIENCE_MS: '0' })).toThrow('from 1 to');
  expect(() => imageSettingsFrom({ LARIAT_IMAGE_ALLOW: 'localhost' })).toThrow('localhost');
});
