import { toLariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { describeUrl, imageNameOf, parseSourceUrl, redirectTarget } from './source-url.js';

const codeOf = (work: () => unknown): string => {
  try {
    return String(work());
  } catch (reason) {
    return toLariatError(reason).code;
  }
};

describe('a source url', () => {
  it.each(['file:///etc/passwd', 'ftp://x/y', 'x', '', 'data:,x', 'http://'])(
    '%s is refused',
    (text) => {
      expect(codeOf(() => parseSourceUrl(text))).toBe('IMAGE_SOURCE_INVALID');
    },
  );

  it('is described without its secrets', () => {
    const url = new URL('https://user:pass@images.test:8443/a/b.img?X-Amz-Signature=s#f');
    expect(describeUrl(url)).toBe('https://images.test:8443/a/b.img');
  });

  it.each([
    ['https://x/debian-12-generic-amd64.qcow2', 'debian-12-generic-amd64'],
    ['https://x/Fedora_40.x86_64.raw.xz', 'fedora-40-x86-64'],
    ['https://x/a/%E2%9C%93ubuntu.img?x=y.qcow2', 'ubuntu'],
    ['https://x/100%.img', '100'],
    ['https://x/', 'image'],
    [`https://x/${'a'.repeat(80)}.img`, 'a'.repeat(63)],
  ])('%s gives the name %s', (url, name) => {
    expect(imageNameOf(new URL(url))).toBe(name);
  });

  it.each([
    ['https://a/x', '/y', 'https://a/y'],
    ['http://a/x', 'https://b/y', 'https://b/y'],
    ['https://a/x', 'http://a/x', 'IMAGE_REDIRECT_REFUSED'],
    ['http://a/x', 'file:///x', 'IMAGE_REDIRECT_REFUSED'],
    ['http://a/x', '//[', 'IMAGE_REDIRECT_REFUSED'],
  ])('%s that redirects to %s leads to %s', (from, location, to) => {
    expect(codeOf(() => redirectTarget(new URL(from), location))).toBe(to);
  });
});
