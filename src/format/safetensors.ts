// The safetensors container: a JSON header of names, dtypes, shapes and offsets, then raw bytes. Files are hostile
// until every claim of the header is checked against the bytes that are there.
import * as v from 'valibot';
import { Problem } from '../problem.ts';

const DTYPE_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;
export type Dtype = keyof typeof DTYPE_BYTES;

export type Tensor = {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
};

export type TensorFile = {
  readonly file: string;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
};

const size = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Entry = v.object({
  dtype: v.string(),
  shape: v.array(size),
  data_offsets: v.tuple([size, size]),
});
const Metadata = v.record(v.string(), v.string());

const HEADER_LIMIT_BYTES = 100 * 2 ** 20;
const HINT = 'The file is damaged or not a safetensors file: fetch it again.';

const isDtype = (dtype: string): dtype is Dtype => Object.hasOwn(DTYPE_BYTES, dtype);

/**
 * Every tensor of a safetensors file as views into `data`.
 * Throws Problem `bad-file`, naming the file and the tensor, for anything that does not add up.
 */
export function parseSafetensors(file: string, data: Uint8Array): TensorFile {
  const bad = (reason: string): Problem => new Problem('bad-file', `Cannot read "${file}": ${reason}`, HINT);
  if (data.byteLength < 8) throw bad(`${data.byteLength} bytes are too few for a header`);
  const headerBytes = Number(new DataView(data.buffer, data.byteOffset, 8).getBigUint64(0, true));
  if (headerBytes > HEADER_LIMIT_BYTES)
    throw bad(`a header of ${headerBytes} bytes is over the limit of ${HEADER_LIMIT_BYTES}`);
  if (headerBytes > data.byteLength - 8) {
    throw bad(`the header claims ${headerBytes} bytes and ${data.byteLength - 8} are there`);
  }
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data.subarray(8, 8 + headerBytes)));
  } catch (cause) {
    throw bad(`the header is no JSON (${cause instanceof Error ? cause.message : cause})`);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw bad('the header is no JSON object');
  const body = data.subarray(8 + headerBytes);
  const tensors = new Map<string, Tensor>();
  const spans: { name: string; begin: number; end: number }[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header as Record<string, unknown>)) {
    if (name === '__metadata__') {
      const parsed = v.safeParse(Metadata, value);
      if (!parsed.success) throw bad('"__metadata__" is no map of strings');
      metadata = parsed.output;
      continue;
    }
    const wrong = (reason: string): Problem =>
      new Problem('bad-file', `Cannot read tensor "${name}" of "${file}": ${reason}`, HINT);
    const parsed = v.safeParse(Entry, value);
    if (!parsed.success) throw wrong(`its header entry is malformed (${parsed.issues[0].message})`);
    const {
      dtype,
      shape,
      data_offsets: [begin, end],
    } = parsed.output;
    if (!isDtype(dtype)) throw wrong(`dtype "${dtype}" is unknown`);
    if (begin > end) throw wrong(`its offsets run backwards, [${begin}, ${end}]`);
    if (end > body.byteLength) {
      throw wrong(
        `it ends at byte ${end} and the file holds ${body.byteLength}; the file is cut short or its offsets are out of range`,
      );
    }
    const count = shape.reduce((product, n) => product * n, 1);
    if (count * DTYPE_BYTES[dtype] !== end - begin) {
      throw wrong(
        `[${shape.join(', ')}] of ${dtype} needs ${count * DTYPE_BYTES[dtype]} bytes and its offsets span ${end - begin}`,
      );
    }
    tensors.set(name, { name, dtype, shape, bytes: body.subarray(begin, end) });
    spans.push({ name, begin, end });
  }
  let reached = 0;
  for (const { name, begin, end } of spans.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== reached) {
      throw bad(
        `tensor "${name}" starts at byte ${begin}, where the one before ends at ${reached}: ${begin < reached ? 'they overlap' : 'there is a hole'}`,
      );
    }
    reached = end;
  }
  if (reached !== body.byteLength)
    throw bad(`${body.byteLength - reached} bytes after the last tensor belong to none`);
  return { file, tensors, metadata };
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

/** The values of an F32 or F16 tensor as float32. */
export function toFloat32({ name, dtype, bytes }: Tensor): Float32Array {
  const aligned = new Uint8Array(bytes).buffer; // a copy: Buffer.slice would be a view
  if (dtype === 'F32') return new Float32Array(aligned);
  if (dtype === 'F16') return Float32Array.from(new Uint16Array(aligned), halfToFloat);
  throw new TypeError(`Cannot read tensor "${name}" as floats: its dtype is ${dtype}`);
}
