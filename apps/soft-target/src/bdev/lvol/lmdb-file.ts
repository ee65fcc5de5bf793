import { closeSync, existsSync, openSync, readSync } from 'node:fs';

/** liblmdb's mdb.c: MDB_page_header, then MDB_meta; numbers as the machine has them, here little-endian. */
const FLAGS_AT = 18;
const META_PAGE_FLAG = 0x08;
const MAGIC_AT = 24;
const MAGIC = 0xbeef_c0de;
const VERSION_AT = 28;
const DATA_VERSION = 2;
const PAGE_SIZE_AT = 48;
const HEAD_BYTES = 64;

/**
 * Throws when a data file is none of lmdb's: lmdb-js 3.5.6 ends the whole process with SIGSEGV then. A file that is not
 * there, or is empty, is good for a new database.
 */
export function checkLmdbFile(path: string): void {
  if (!existsSync(path)) return;
  const file = openSync(path, 'r');
  try {
    const first = readHead(file, 0);
    if (first.length === 0) return;
    const pageSize = first.length === HEAD_BYTES ? first.readUInt32LE(PAGE_SIZE_AT) : 0;
    if (!isMeta(first) || !isMeta(readHead(file, pageSize))) {
      throw new Error(`${path} is damaged: it has not the two meta pages of an lmdb database`);
    }
  } finally {
    closeSync(file);
  }
}

function readHead(file: number, position: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  return head.subarray(0, readSync(file, head, 0, HEAD_BYTES, position));
}

function isMeta(head: Buffer): boolean {
  return (
    head.length === HEAD_BYTES &&
    (head.readUInt16LE(FLAGS_AT) & META_PAGE_FLAG) !== 0 &&
    head.readUInt32LE(MAGIC_AT) === MAGIC &&
    (head.readUInt32LE(VERSION_AT) & 0xffff) === DATA_VERSION
  );
}
