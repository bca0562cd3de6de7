// Protobuf on the wire, read with distrust: every length and wire type is held against the bytes. Messages are cut,
// not decoded whole, so that what is not touched is written back byte for byte and costs nothing.

/** What the bytes cannot be; the reader of the file says where. */
export class Malformed extends Error {}

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

export type Field = {
  readonly number: number;
  readonly wire: number;
  /** Of a varint, as a signed 64-bit integer; beyond 2⁵³ it is rounded. */
  readonly int: number;
  /** What follows the tag, and the length if there is one. */
  readonly bytes: Uint8Array;
  /** Tag and all. */
  readonly raw: Uint8Array;
};

/** A varint at `at` and the offset after it. */
function varint(bytes: Uint8Array, at: number): [value: number, end: number] {
  let value = 0;
  let scale = 1;
  let top = 0n;
  for (let i = 0; i < 10; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) throw new Malformed('a number is cut off at the end');
    if (i < 7) value += (byte & 127) * scale;
    else top += BigInt(byte & 127) << BigInt(7 * i);
    scale *= 128;
    if (byte < 128) return [i < 7 ? value : Number(BigInt.asIntN(64, top + BigInt(value))), at + i + 1];
  }
  throw new Malformed('a number is longer than 10 bytes');
}

/** The fields of a message, in order. Throws Malformed. */
export function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  for (let at = 0; at < bytes.length;) {
    const start = at;
    const [tag, afterTag] = varint(bytes, at);
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    if (!(number >= 1 && number < 2 ** 29)) throw new Malformed(`a field has number ${number}`);
    let [int, from, end] = [0, afterTag, afterTag];
    if (wire === VARINT) [int, end] = varint(bytes, afterTag);
    else if (wire === FIXED64) end += 8;
    else if (wire === FIXED32) end += 4;
    else if (wire === BYTES) {
      [int, from] = varint(bytes, afterTag);
      if (int < 0) throw new Malformed(`field ${number} has a negative length`);
      end = from + int;
    } else throw new Malformed(`field ${number} has wire type ${wire}, which ONNX does not use`);
    if (end > bytes.length)
      throw new Malformed(`field ${number} wants ${end - from} bytes where ${bytes.length - from} are left`);
    yield { number, wire, int, bytes: bytes.subarray(from, end), raw: bytes.subarray(start, end) };
    at = end;
  }
}

function expectWire({ number, wire }: Field, wanted: number): void {
  if (wire !== wanted) throw new Malformed(`field ${number} has wire type ${wire} instead of ${wanted}`);
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

export function textOf(field: Field): string {
  expectWire(field, BYTES);
  try {
    return UTF8.decode(field.bytes);
  } catch {
    throw new Malformed(`field ${field.number} is no UTF-8`);
  }
}

export function bytesOf(field: Field): Uint8Array {
  expectWire(field, BYTES);
  return field.bytes;
}

export function intOf(field: Field): number {
  expectWire(field, VARINT);
  return field.int;
}

export function floatOf(field: Field): number {
  expectWire(field, FIXED32);
  return viewOf(field.bytes).getFloat32(0, true);
}

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Integers of a repeated field, packed or one at a time. */
export function* intsOf(field: Field): Generator<number> {
  if (field.wire === VARINT) yield field.int;
  else {
    expectWire(field, BYTES);
    for (let at = 0; at < field.bytes.length;) {
      const [value, end] = varint(field.bytes, at);
      yield value;
      at = end;
    }
  }
}

/** Bytes of fixed-width numbers of a repeated field, packed or one at a time. */
export function fixedOf(field: Field, widthBytes: 4 | 8): Uint8Array {
  if (field.wire !== (widthBytes === 4 ? FIXED32 : FIXED64)) expectWire(field, BYTES);
  if (field.bytes.length % widthBytes)
    throw new Malformed(`field ${field.number} holds no whole numbers of ${widthBytes} bytes`);
  return field.bytes;
}

/** Bytes of a message in pieces, put together once at the end. */
export type Pieces = readonly Uint8Array[];

export const sizeOf = (pieces: Pieces): number => pieces.reduce((sum, { length }) => sum + length, 0);

function varintBytes(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}

export const intField = (number: number, value: number): Pieces => [
  varintBytes(number * 8 + VARINT),
  varintBytes(value),
];

export const lengthField = (number: number, pieces: Pieces): Pieces => [
  varintBytes(number * 8 + BYTES),
  varintBytes(sizeOf(pieces)),
  ...pieces,
];

export const textField = (number: number, text: string): Pieces =>
  lengthField(number, [new TextEncoder().encode(text)]);

export function joined(pieces: Pieces): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(sizeOf(pieces));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
