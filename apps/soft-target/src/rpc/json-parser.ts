/** SPDK_JSON_MAX_NESTING_DEPTH (lib/json/json_parse.c). */
const MAX_DEPTH = 64;
/** SPDK_JSONRPC_MAX_VALUES (lib/jsonrpc/jsonrpc_internal.h); names and ends of objects and arrays count too. */
const MAX_VALUES = 8192;

export type JsonNumber = number | bigint;

/** What is not JSON as SPDK takes it, or goes beyond its bounds. There is no point to resync at after it. */
export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError';
}

const ambiguous = new WeakSet<object>();

/** True for an object of this parser's that gave one name twice: SPDK's decoders refuse it. */
export function hasDuplicateName(value: object): boolean {
  return ambiguous.has(value);
}

type Container = unknown[] | Record<string, unknown>;

const State = Object.freeze({
  value: 'value',
  /** After `[`: a value or `]`. */
  firstItem: 'first item',
  name: 'name',
  /** After `{`: a name or `}`. */
  firstName: 'first name',
  colon: 'colon',
  /** After a value inside a container: a comma or its end. */
  commaOrEnd: 'comma or end',
  string: 'string',
  escape: 'escape',
  number: 'number',
  literal: 'literal',
} as const);
type State = (typeof State)[keyof typeof State];

/**
 * Takes apart a byte stream of JSON values that follow one another without a length, as lib/jsonrpc does, and
 * refuses a fault at its first byte, not at the end of a value that may never come. Each byte is looked at once.
 *
 * Integers that a double cannot hold are bigints, so that an id goes back as it came. Objects have no prototype.
 */
export class JsonStreamParser {
  private state: State = State.value;
  private readonly containers: Container[] = [];
  private readonly names: string[] = [];
  private isName = false;
  private isEscaped = false;
  private parts: Buffer[] = [];
  private text = '';
  private literal: readonly [string, unknown] = ['', undefined];
  private values = 0;
  private bytes = 0;

  constructor(private readonly limits: { readonly maxValueBytes: number }) {}

  /** Delivers the values that end in `chunk`, in order; throws JsonSyntaxError after those before the fault. */
  push(chunk: Buffer, deliver: (value: unknown) => void): void {
    // Where the part of a string that is in this chunk begins.
    let stringStart = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (this.containers.length > 0 || this.state !== State.value) this.countByte();
      switch (this.state) {
        case State.string:
          if (byte === QUOTE) {
            this.parts.push(chunk.subarray(stringStart, at));
            this.endString(deliver);
          } else if (byte === BACKSLASH) {
            this.isEscaped = true;
            this.state = State.escape;
          } else if (byte < 0x20) throw unexpected(byte, 'in a string');
          break;
        case State.escape:
          if (byte < 0x20) throw unexpected(byte, 'in a string');
          this.state = State.string;
          break;
        case State.number:
          if (isNumberByte(byte)) this.text += String.fromCharCode(byte);
          else {
            this.complete(toNumber(this.text), deliver);
            // The byte belongs to what follows, and is looked at again there.
            at -= 1;
            this.bytes = Math.max(0, this.bytes - 1);
          }
          break;
        case State.literal:
          this.inLiteral(byte, deliver);
          break;
        case State.value:
        case State.firstItem:
        case State.name:
        case State.firstName:
        case State.colon:
        case State.commaOrEnd:
          if (isWhitespace(byte)) break;
          this.structural(byte, deliver);
          // Of use when the byte has begun a string.
          stringStart = at + 1;
      }
    }
    if (this.state === State.string || this.state === State.escape) {
      // A copy: the chunk as a whole must not be kept for the sake of a few bytes of it.
      this.parts.push(Buffer.from(chunk.subarray(stringStart)));
    }
  }

  private structural(byte: number, deliver: (value: unknown) => void): void {
    const { state } = this;
    if (state === State.colon) {
      if (byte !== COLON) throw unexpected(byte, 'where a colon should be');
      this.state = State.value;
    } else if (state === State.commaOrEnd && byte === COMMA) {
      this.state = Array.isArray(this.containers.at(-1)) ? State.value : State.name;
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
      this.close(byte, deliver);
    } else if (state === State.name || state === State.firstName) {
      if (byte !== QUOTE) throw unexpected(byte, 'where a name should be');
      this.beginString(true);
    } else if (state === State.commaOrEnd) {
      throw unexpected(byte, 'after a value');
    } else {
      this.beginValue(byte);
    }
  }

  private beginValue(byte: number): void {
    // The first byte of a value at the top has not been counted.
    if (this.containers.length === 0) this.bytes = 1;
    if (byte === QUOTE) this.beginString(false);
    else if (byte === OPEN_OBJECT) this.open(Object.create(null) as Container, State.firstName);
    else if (byte === OPEN_ARRAY) this.open([], State.firstItem);
    else if (byte === MINUS || isDigit(byte)) {
      this.text = String.fromCharCode(byte);
      this.state = State.number;
    } else {
      const literal = LITERALS.get(byte);
      if (literal === undefined) throw unexpected(byte, 'where a value should be');
      this.literal = literal;
      this.text = String.fromCharCode(byte);
      this.state = State.literal;
    }
  }

  private inLiteral(byte: number, deliver: (value: unknown) => void): void {
    const [word, value] = this.literal;
    if (word.charCodeAt(this.text.length) !== byte) throw unexpected(byte, `in ${word}`);
    this.text += String.fromCharCode(byte);
    if (this.text.length === word.length) this.complete(value, deliver);
  }

  private beginString(isName: boolean): void {
    this.isName = isName;
    this.isEscaped = false;
    this.parts = [];
    this.state = State.string;
  }

  private endString(deliver: (value: unknown) => void): void {
    const text = toText(Buffer.concat(this.parts), this.isEscaped);
    this.parts = [];
    if (!this.isName) return this.complete(text, deliver);
    this.countValue();
    this.names.push(text);
    this.state = State.colon;
  }

  private open(container: Container, state: State): void {
    if (this.containers.length === MAX_DEPTH) {
      throw new JsonSyntaxError(`JSON is nested deeper than ${MAX_DEPTH}`);
    }
    this.countValue();
    this.containers.push(container);
    this.state = state;
  }

  private close(byte: number, deliver: (value: unknown) => void): void {
    const container = this.containers.at(-1);
    const isArray = Array.isArray(container);
    const mayEnd =
      this.state === State.commaOrEnd ||
      this.state === (isArray ? State.firstItem : State.firstName);
    const matches = byte === (isArray ? CLOSE_ARRAY : CLOSE_OBJECT);
    if (container === undefined || !mayEnd || !matches) throw unexpected(byte, 'as an end');
    this.containers.pop();
    this.complete(container, deliver);
  }

  private complete(value: unknown, deliver: (value: unknown) => void): void {
    this.countValue();
    const parent = this.containers.at(-1);
    if (parent === undefined) {
      this.state = State.value;
      this.values = 0;
      this.bytes = 0;
      return deliver(value);
    }
    this.state = State.commaOrEnd;
    if (Array.isArray(parent)) parent.push(value);
    else {
      const name = this.names.pop() ?? '';
      // The first one counts, as in SPDK's decoders.
      if (Object.hasOwn(parent, name)) ambiguous.add(parent);
      else parent[name] = value;
    }
  }

  private countValue(): void {
    this.values += 1;
    if (this.values > MAX_VALUES)
      throw new JsonSyntaxError(`JSON has more than ${MAX_VALUES} values`);
  }

  private countByte(): void {
    this.bytes += 1;
    const { maxValueBytes } = this.limits;
    if (this.bytes > maxValueBytes) {
      throw new JsonSyntaxError(`JSON is longer than ${maxValueBytes} bytes`);
    }
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

const LITERALS: ReadonlyMap<number, readonly [string, unknown]> = new Map(
  (
    [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const
  ).map((literal) => [literal[0].charCodeAt(0), literal]),
);

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const LONE_SURROGATE = /\p{Surrogate}/u;
/** RFC 8259 section 6. */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const INTEGER = /^-?\d+$/;

function toText(bytes: Buffer, isEscaped: boolean): string {
  try {
    const text = utf8.decode(bytes);
    if (!isEscaped) return text;
    const unescaped: unknown = JSON.parse(`"${text}"`);
    if (typeof unescaped === 'string' && !LONE_SURROGATE.test(unescaped)) return unescaped;
  } catch (error) {
    throw new JsonSyntaxError('a JSON string is not UTF-8, or has an escape that is none', {
      cause: error,
    });
  }
  throw new JsonSyntaxError('a JSON string has half of a surrogate pair');
}

function toNumber(text: string): JsonNumber {
  if (!NUMBER.test(text)) throw new JsonSyntaxError(`${text.slice(0, 40)} is no JSON number`);
  const value = Number(text);
  return !INTEGER.test(text) || Number.isSafeInteger(value) ? value : BigInt(text);
}

function isWhitespace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** Digits and `+ - . e E`. */
function isNumberByte(byte: number): boolean {
  return isDigit(byte) || byte === 0x2b || byte === 0x2d || byte === 0x2e || (byte | 0x20) === 0x65;
}

function unexpected(byte: number, where: string): JsonSyntaxError {
  return new JsonSyntaxError(`byte 0x${byte.toString(16).padStart(2, '0')} ${where}`);
}
