import { expect, it } from 'vitest';
import { withoutSecrets } from './without-secrets.js';

it.each([
  ['nats://user:pass@nats:4222 is away', 'nats://***@nats:4222 is away'],
  ['"nats://token@n1,nats://token@n2"', '"nats://***@n1,nats://***@n2"'],
  [
    'GET https://s3/b/i.raw?X-Amz-Signature=abc&x=1 gave 403',
    'GET https://s3/b/i.raw?*** gave 403',
  ],
  ['{"url":"http://u:p@h/a?k=v"}', '{"url":"http://***@h/a?***"}'],
  ['mail a@b.c, see http://h/a@b', 'mail a@b.c, see http://h/a@b'],
  ['why? because', 'why? because'],
])('turns %j into %j', (text, shown) => expect(withoutSecrets(text)).toBe(shown));
