/**
 * Cuts a byte stream of JSON documents, sent one after the other with no separator and no length, into
 * documents. SPDK frames both directions this way (lib/jsonrpc/jsonrpc_server_tcp.c).
 *
 * Only brackets, strings and escapes are looked at: what is inside is JSON.parse's business. Working on
 * bytes is safe in UTF-8, whose continuation bytes never equal an ASCII one. Each byte is looked at once,
 * however the stream is split, and the parts of a document are joined once, when it ends.
 */
export class JsonDocumentSplitter {
  private readonly maxDocumentBytes: number;
  private parts: Buffer[] = [];
  private partsBytes = 0;
  private scan: ScanState = ScanState.between;
  private depth = 0;

  constructor(options: { readonly maxDocumentBytes: number }) {
    this.maxDocumentBytes = options.maxDocumentBytes;
  }

  /** Bytes of a document that has begun and not ended. */
  get pendingBytes(): number {
    return this.partsBytes;
  }

  /**
   * Delivers the documents that end in `chunk`, in order. Throws JsonFramingError after those before the
   * fault; there is no point to resync at then.
   */
  push(chunk: Buffer, deliver: (document: Buffer) => void): void {
    let start = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (this.scan === ScanState.between) {
        start = at;
        if (isWhitespace(byte)) continue;
      }
      const end = this.step(byte);
      if (end === DocumentEnd.none) continue;
      // A number or a literal is ended by the byte after it, which belongs to what follows.
      const stop = end === DocumentEnd.afterByte ? at + 1 : at;
      const document = this.take(chunk.subarray(start, stop));
      start = stop;
      deliver(document);
      if (end === DocumentEnd.beforeByte) at -= 1;
    }
    if (this.scan !== ScanState.between) this.keep(chunk.subarray(start));
  }

  private step(byte: number): DocumentEnd {
    switch (this.scan) {
      case ScanState.between:
        return this.begin(byte);
      case ScanState.string:
        if (byte === BACKSLASH) this.scan = ScanState.escape;
        else if (byte === QUOTE) return this.closeString();
        return DocumentEnd.none;
      case ScanState.escape:
        this.scan = ScanState.string;
        return DocumentEnd.none;
      case ScanState.scalar:
        if (!isDelimiter(byte)) return DocumentEnd.none;
        this.scan = ScanState.between;
        return DocumentEnd.beforeByte;
      case ScanState.container:
        return this.inContainer(byte);
    }
  }

  private begin(byte: number): DocumentEnd {
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      this.depth = 1;
      this.scan = ScanState.container;
    } else if (byte === QUOTE) {
      this.scan = ScanState.string;
    } else if (isDelimiter(byte)) {
      throw new JsonFramingError(`byte 0x${byte.toString(16)} cannot begin a JSON document`);
    } else {
      this.scan = ScanState.scalar;
    }
    return DocumentEnd.none;
  }

  private inContainer(byte: number): DocumentEnd {
    if (byte === QUOTE) {
      this.scan = ScanState.string;
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      this.depth += 1;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      this.depth -= 1;
      if (this.depth === 0) {
        this.scan = ScanState.between;
        return DocumentEnd.afterByte;
      }
    }
    return DocumentEnd.none;
  }

  private closeString(): DocumentEnd {
    if (this.depth > 0) {
      this.scan = ScanState.container;
      return DocumentEnd.none;
    }
    this.scan = ScanState.between;
    return DocumentEnd.afterByte;
  }

  private take(last: Buffer): Buffer {
    this.keep(last);
    const [only] = this.parts;
    const document =
      this.parts.length === 1 && only !== undefined ? only : Buffer.concat(this.parts);
    this.parts = [];
    this.partsBytes = 0;
    return document;
  }

  private keep(part: Buffer): void {
    this.partsBytes += part.length;
    if (this.partsBytes > this.maxDocumentBytes) {
      throw new JsonFramingError(`a JSON document is longer than ${this.maxDocumentBytes} bytes`);
    }
    if (part.length > 0) this.parts.push(part);
  }
}

/** The stream is not a sequence of JSON documents, or one is too long: close the connection. */
export class JsonFramingError extends Error {
  override readonly name = 'JsonFramingError';
}

const ScanState = Object.freeze({
  between: 'between',
  container: 'container',
  string: 'string',
  escape: 'escape',
  scalar: 'scalar',
} as const);
type ScanState = (typeof ScanState)[keyof typeof ScanState];

const DocumentEnd = Object.freeze({ none: 0, beforeByte: 1, afterByte: 2 } as const);
type DocumentEnd = (typeof DocumentEnd)[keyof typeof DocumentEnd];

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const COMMA = 0x2c;
const COLON = 0x3a;

/** RFC 8259 section 2. */
function isWhitespace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** What ends a number or a literal, and cannot itself begin one. */
function isDelimiter(byte: number): boolean {
  return (
    isWhitespace(byte) ||
    byte === COMMA ||
    byte === COLON ||
    byte === QUOTE ||
    byte === OPEN_ARRAY ||
    byte === CLOSE_ARRAY ||
    byte === OPEN_OBJECT ||
    byte === CLOSE_OBJECT
  );
}
