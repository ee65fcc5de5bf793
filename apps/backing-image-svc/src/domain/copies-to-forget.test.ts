import { describe, expect, it } from 'vitest';
import { copyOn } from '../testing/image-record.js';
import { copiesToForget } from './copies-to-forget.js';

describe('the copies of an image on a node that is removed', () => {
  const forget = (copies: Parameters<typeof copiesToForget>[0]['copies'], operation = null) =>
    copiesToForget({ copies, operation }, 'n2');

  it('leave the record while another node has a ready one', () => {
    expect(forget([copyOn('n1'), copyOn('n2')])).toEqual(['disk-of-n2']);
    expect(forget([copyOn('n1')])).toEqual([]);
  });

  it('stay when none of the others is ready', () => {
    expect(forget([copyOn('n2')])).toEqual([]);
    expect(forget([copyOn('n2'), copyOn('n1', { state: 'corrupt' })])).toEqual([]);
    expect(forget([copyOn('n2', { state: 'corrupt' })])).toEqual(['disk-of-n2']);
  });

  it('stay while an operation works on the image', () => {
    const record = { copies: [copyOn('n1'), copyOn('n2')], operation: 'op-1' };
    expect(copiesToForget(record, 'n2')).toEqual([]);
  });
});
