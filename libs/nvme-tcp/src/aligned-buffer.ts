/// <reference lib="es2024.arraybuffer" />
/// <reference lib="es2024.sharedmemory" />

/** What O_DIRECT asks of memory, on every file system. */
const ALIGNMENT_BYTES = 4096;

const alignedMemory = new WeakSet<ArrayBufferLike>();

/** Zeroed memory that begins at a page, for I/O past the page cache. To be kept and used again: its pages cost much. */
export function allocateAligned(lengthBytes: number): Buffer {
  // V8 maps pages for memory that may change its size; other memory is malloc's, which puts its own header first.
  return ofMemory(new ArrayBuffer(lengthBytes, { maxByteLength: lengthBytes }));
}

/** The same, of a SharedArrayBuffer, which other threads can be given. */
export function allocateAlignedShared(lengthBytes: number): Buffer<SharedArrayBuffer> {
  return ofMemory(new SharedArrayBuffer(lengthBytes, { maxByteLength: lengthBytes }));
}

function ofMemory<Memory extends ArrayBufferLike>(memory: Memory): Buffer<Memory> {
  alignedMemory.add(memory);
  return Buffer.from(memory, 0, memory.byteLength) as Buffer<Memory>;
}

/** False for memory from elsewhere, even where it happens to be aligned. */
export function isAligned(bytes: Buffer): boolean {
  return alignedMemory.has(bytes.buffer) && bytes.byteOffset % ALIGNMENT_BYTES === 0;
}
