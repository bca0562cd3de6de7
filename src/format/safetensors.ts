// The safetensors container: a JSON header of names, dtypes, shapes and offsets, then raw bytes. Files are hostile
// until every claim of the header is checked against the size of the file.
import * as v from 'valibot';
import { Problem } from '../problem.ts';
import { isTextMap, parseStrictJson } from './json.ts';

/** Bytes a value, of the dtypes that are a whole number of bytes wide. */
const DTYPE_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I64: 8,
  U64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;
export type Dtype = keyof typeof DTYPE_BYTES;

/** What a header says of one tensor; `begin` and `end` are bytes of the file, header included. */
export type TensorEntry = {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
};

export type Tensor = {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
};

export type Header = {
  readonly file: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
};

export type TensorFile = {
  readonly file: string;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
};

const size = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Entry = v.object({
  dtype: v.string(),
  shape: v.pipe(v.array(size), v.maxLength(32, 'more than 32 axes')),
  data_offsets: v.strictTuple([size, size]),
});

const LENGTH_BYTES = 8;
const HEADER_LIMIT_BYTES = 100 * 2 ** 20;
const HINT = 'The file is damaged or not a safetensors file: fetch it again.';

const isDtype = (dtype: string): dtype is Dtype => Object.hasOwn(DTYPE_BYTES, dtype);
const badFile = (file: string, reason: string): Problem =>
  new Problem('bad-file', `Cannot read "${file}": ${reason}`, HINT);

/** Bytes of one value. */
export const dtypeBytes = (dtype: Dtype): number => DTYPE_BYTES[dtype];

/** Bytes of the header, from a file's first eight; nothing of that size is allocated before it is known to be there. */
export function headerBytes(file: string, first: Uint8Array, fileBytes: number): number {
  if (first.byteLength < LENGTH_BYTES || fileBytes < LENGTH_BYTES) {
    throw badFile(file, `${Math.min(first.byteLength, fileBytes)} bytes are too few for a header`);
  }
  const claimed = Number(new DataView(first.buffer, first.byteOffset, LENGTH_BYTES).getBigUint64(0, true));
  if (claimed > HEADER_LIMIT_BYTES)
    throw badFile(file, `a header of ${claimed} bytes is over the limit of ${HEADER_LIMIT_BYTES}`);
  if (claimed > fileBytes - LENGTH_BYTES) {
    throw badFile(file, `the header claims ${claimed} bytes and ${fileBytes - LENGTH_BYTES} are there`);
  }
  return claimed;
}

function checkedEntry(
  file: string,
  name: string,
  value: unknown,
  base: number,
  bodyBytes: number,
): TensorEntry {
  const wrong = (reason: string): Problem =>
    new Problem('bad-file', `Cannot read tensor "${name.slice(0, 200)}" of "${file}": ${reason}`, HINT);
  const parsed = v.safeParse(Entry, value, { abortEarly: true });
  if (!parsed.success) throw wrong(`its header entry is malformed (${parsed.issues[0].message})`);
  const {
    dtype,
    shape,
    data_offsets: [begin, end],
  } = parsed.output;
  if (!isDtype(dtype)) throw wrong(`dtype "${dtype.slice(0, 40)}" is unknown`);
  if (begin > end) throw wrong(`its offsets run backwards, [${begin}, ${end}]`);
  if (end > bodyBytes) {
    throw wrong(
      `it ends at byte ${end} and the file holds ${bodyBytes}; the file is cut short or its offsets are out of range`,
    );
  }
  let needed: number = DTYPE_BYTES[dtype];
  for (const n of shape) {
    needed *= n;
    // Checked at every step: a later zero would hide an overflow.
    if (!Number.isSafeInteger(needed))
      throw wrong(`[${shape.join(', ')}] of ${dtype} needs more than 2^53 bytes`);
  }
  if (needed !== end - begin) {
    throw wrong(
      `[${shape.join(', ')}] of ${dtype} needs ${needed} bytes and its offsets span ${end - begin}`,
    );
  }
  return { name, dtype, shape, begin: base + begin, end: base + end };
}

/**
 * The header of a file of `fileBytes`, from its JSON alone: every tensor's place, without its bytes.
 * Throws Problem `bad-file`, naming the file and the tensor, for anything that does not add up.
 */
export function parseHeader(file: string, json: Uint8Array, fileBytes: number): Header {
  const base = LENGTH_BYTES + json.byteLength;
  const bodyBytes = fileBytes - base;
  let header: unknown;
  try {
    header = parseStrictJson(json, { maxBytes: HEADER_LIMIT_BYTES, maxDepth: 8 });
  } catch (cause) {
    throw badFile(file, `the header is no JSON (${cause instanceof Error ? cause.message : cause})`);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw badFile(file, 'the header is no JSON object');
  if (json[0] !== 0x7b) throw badFile(file, 'the header does not start with "{"');
  const tensors = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header as Record<string, unknown>)) {
    if (name === '__metadata__') {
      if (!isTextMap(value)) throw badFile(file, '"__metadata__" is no map of strings');
      metadata = value;
      continue;
    }
    tensors.set(name, checkedEntry(file, name, value, base, bodyBytes));
  }
  let reached = base;
  for (const { name, begin, end } of [...tensors.values()].sort(
    (a, b) => a.begin - b.begin || a.end - b.end,
  )) {
    if (begin !== reached) {
      throw badFile(
        file,
        `tensor "${name.slice(0, 200)}" starts at byte ${begin - base}, where the one before ends at ${reached - base}: ${begin < reached ? 'they overlap' : 'there is a hole'}`,
      );
    }
    reached = end;
  }
  if (reached !== fileBytes)
    throw badFile(file, `${fileBytes - reached} bytes after the last tensor belong to none`);
  return { file, tensors, metadata };
}

/**
 * Every tensor of a safetensors file as views into `data`.
 * Throws Problem `bad-file`, naming the file and the tensor, for anything that does not add up.
 */
export function parseSafetensors(file: string, data: Uint8Array): TensorFile {
  const length = headerBytes(file, data.subarray(0, LENGTH_BYTES), data.byteLength);
  const header = parseHeader(file, data.subarray(LENGTH_BYTES, LENGTH_BYTES + length), data.byteLength);
  const tensors = new Map<string, Tensor>();
  for (const { name, dtype, shape, begin, end } of header.tensors.values()) {
    tensors.set(name, { name, dtype, shape, bytes: data.subarray(begin, end) });
  }
  return { file, tensors, metadata: header.metadata };
}

/** One f16 value from its 16 bits. IEEE 754 binary16. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest f16, as its bits; ties to even, past the range to infinity. */
export function floatToHalf(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const a = Math.abs(value);
  if (a >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(a || 1e-30)));
  // Rounded in units of the last place; a carry runs into the exponent by itself.
  const units = a / 2 ** (exponent - 10);
  const floor = Math.floor(units);
  const rounded = units - floor > 0.5 || (units - floor === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  const bits = exponent === -14 ? rounded : ((exponent + 14) << 10) + rounded;
  return sign | bits;
}

/** The values of a tensor of floats as float32. BF16 is the upper half of a float32. */
export function toFloat32({ name, dtype, bytes }: Tensor): Float32Array {
  const aligned = new Uint8Array(bytes).buffer; // a copy: Buffer.slice would be a view
  if (dtype === 'F32') return new Float32Array(aligned);
  if (dtype === 'F16') return Float32Array.from(new Uint16Array(aligned), halfToFloat);
  if (dtype === 'BF16') {
    const bits = Uint32Array.from(new Uint16Array(aligned), (half) => half << 16);
    return new Float32Array(bits.buffer);
  }
  throw new TypeError(`Cannot read tensor "${name}" as floats: its dtype is ${dtype}`);
}

/** What stands before the bytes of these tensors, in this order; padded so that they begin at a multiple of 8. */
export function headOf(
  tensors: readonly (Omit<Tensor, 'bytes'> & { readonly sizeBytes: number })[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const entries: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const { name, dtype, shape, sizeBytes } of tensors)
    entries[name] = { dtype, shape, data_offsets: [end, (end += sizeBytes)] };
  const json = JSON.stringify(entries);
  const header = new TextEncoder().encode(json + ' '.repeat(-new TextEncoder().encode(json).length & 7));
  const head = new Uint8Array(LENGTH_BYTES + header.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(header.length), true);
  head.set(header, LENGTH_BYTES);
  return head;
}

/** A safetensors file of these tensors, in this order. */
export function writeSafetensors(
  tensors: Iterable<Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const all = [...tensors];
  const sized = all.map((tensor) => ({ ...tensor, sizeBytes: tensor.bytes.byteLength }));
  const head = headOf(sized, metadata);
  const file = new Uint8Array(sized.reduce((sum, { sizeBytes }) => sum + sizeBytes, head.length));
  file.set(head);
  let at = head.length;
  for (const { bytes } of all) {
    file.set(bytes, at);
    at += bytes.byteLength;
  }
  return file;
}
