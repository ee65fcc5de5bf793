import { createHash } from 'node:crypto';

/** RFC 9562 section 5.5 (spdk_uuid_generate_sha1): the same name in the same namespace has the same uuid. */
export function nameUuid(namespace: string, name: Buffer): string {
  const hash = createHash('sha1').update(uuidBytes(namespace)).update(name).digest();
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x50, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = hash.toString('hex');
  return [
    [0, 8],
    [8, 12],
    [12, 16],
    [16, 20],
    [20, 32],
  ]
    .map(([from, to]) => hex.slice(from, to))
    .join('-');
}

export function uuidBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}
