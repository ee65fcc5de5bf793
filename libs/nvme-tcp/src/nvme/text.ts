/** Writes ASCII text into a field of fixed length, cut or filled up with `pad`. */
export function writeText(
  target: Buffer,
  text: string,
  offset: number,
  length: number,
  pad: ' ' | '\0',
): void {
  target.write(text.slice(0, length).padEnd(length, pad), offset, length, 'latin1');
}

/** Text up to the first NUL, without trailing blanks. */
export function readText(source: Buffer, offset: number, length: number): string {
  const field = source.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end === -1 ? length : end).trimEnd();
}

/** The 16 bytes of a UUID or NGUID given as hexadecimal digits, dashes allowed; undefined for anything else. */
export function parseGuid(text: string): Buffer | undefined {
  const digits = text.replaceAll('-', '');
  return /^[0-9a-fA-F]{32}$/.test(digits) ? Buffer.from(digits, 'hex') : undefined;
}

export function formatUuid(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20, 32),
  ].join('-');
}
