import type { Random } from './random.js';

/** Values at which lengths, counts and offsets are most often handled wrongly. */
const EDGES: readonly number[] = [
  0, 1, 2, 3, 4, 7, 8, 23, 24, 25, 63, 64, 71, 72, 73, 127, 128, 255, 256, 511, 512, 4095, 4096,
  8191, 8192, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x2_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe,
  0xffff_ffff,
];

type Mutation = (bytes: Buffer, random: Random) => Buffer;

const flipBit: Mutation = (bytes, random) => {
  const at = random.below(bytes.length);
  bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.below(8)), at);
  return bytes;
};

const setByte: Mutation = (bytes, random) => {
  bytes.writeUInt8(random.below(256), random.below(bytes.length));
  return bytes;
};

const setNumber: Mutation = (bytes, random) => {
  const width = random.pick([1, 2, 4]);
  if (bytes.length < width) return bytes;
  const at = random.below(bytes.length - width + 1);
  const value = random.pick(EDGES) % 2 ** (8 * width);
  if (random.chance(0.5)) bytes.writeUIntLE(value, at, width);
  else bytes.writeUIntBE(value, at, width);
  return bytes;
};

const truncate: Mutation = (bytes, random) => bytes.subarray(0, random.below(bytes.length));

const insert: Mutation = (bytes, random) => {
  const at = random.below(bytes.length + 1);
  const inserted = random.bytes(1 + random.below(16));
  return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at)]);
};

const cutOut: Mutation = (bytes, random) => {
  const from = random.below(bytes.length);
  const to = from + 1 + random.below(16);
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
};

const repeat: Mutation = (bytes, random) => {
  const from = random.below(bytes.length);
  const part = bytes.subarray(from, from + 1 + random.below(64));
  return Buffer.concat([bytes.subarray(0, from), part, part, bytes.subarray(from)]);
};

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  setByte,
  setNumber,
  setNumber,
  truncate,
  insert,
  cutOut,
  repeat,
];
/** Those that keep the length, so that what follows in a stream is still found. */
const IN_PLACE: readonly Mutation[] = [flipBit, setByte, setNumber, setNumber];

/** A changed copy, after one to three mutations. */
export function mutateBytes(original: Buffer, random: Random, inPlace = false): Buffer {
  let bytes: Buffer = Buffer.from(original);
  const rounds = 1 + random.below(3);
  for (let round = 0; round < rounds && bytes.length > 0; round += 1) {
    bytes = random.pick(inPlace ? IN_PLACE : MUTATIONS)(bytes, random);
  }
  return bytes;
}
