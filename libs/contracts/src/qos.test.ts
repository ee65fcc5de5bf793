import { expect, it } from 'vitest';
import { VolumeQosRequest } from './dto/qos.dto.js';
import { NO_QOS, withQos } from './qos.js';

it.each([
  ['none', undefined, {}, NO_QOS],
  ['I/Os in whole thousands', undefined, { rwIops: 1001 }, { ...NO_QOS, rwIops: 2000 }],
  [
    'what is left out stays',
    { ...NO_QOS, rwMbps: 4 },
    { readMbps: 1 },
    { ...NO_QOS, rwMbps: 4, readMbps: 1 },
  ],
  [
    'null takes away',
    { ...NO_QOS, rwMbps: 4, writeMbps: 2 },
    { rwMbps: null },
    { ...NO_QOS, writeMbps: 2 },
  ],
])('%s', (_name, before, asked, after) => {
  expect(withQos(before, asked)).toEqual(after);
});

it('takes a member of a request that was not given for left out', () => {
  const request = Object.assign(new VolumeQosRequest(), { rwIops: 1000 });
  expect(withQos({ ...NO_QOS, rwMbps: 3 }, request)).toEqual({
    ...NO_QOS,
    rwIops: 1000,
    rwMbps: 3,
  });
});
