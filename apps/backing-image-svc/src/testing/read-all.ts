import type { ByteReader } from '../ports/byte-reader.port.js';

/** All that is left, read in pieces of at most `pieceBytes`. */
export async function readAll(reader: ByteReader, pieceBytes = 100_000): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (;;) {
    const chunk = Buffer.alloc(pieceBytes);
    const length = await reader.read(chunk);
    if (length === 0) return Buffer.concat(chunks);
    chunks.push(chunk.subarray(0, length));
  }
}
