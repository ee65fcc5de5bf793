import { INITIAL } from '@lariat/testing';
import { expect, it } from 'vitest';
import { BLOCK_BYTES, decodeRegister, encodeRegister } from './register-blocks.js';

it('reads a block as the value of its write, and a torn one as no value that was written', () => {
  expect(decodeRegister(encodeRegister('c1.17'))).toBe('c1.17');
  expect(decodeRegister(Buffer.alloc(BLOCK_BYTES))).toBe(INITIAL);
  const torn = encodeRegister('c1.17');
  encodeRegister('c2.4').copy(torn, 2048, 2048);
  expect(decodeRegister(torn)).toBe('c1.17 and c2.4');
  const spoiled = encodeRegister('c1.17');
  spoiled[700] = 0;
  expect(decodeRegister(spoiled)).toMatch(/^c1\.17 and bytes of no write/);
});
