// A tensor of an ONNX file: its claims checked against its bytes, its values read only when somebody asks.
import { halfToFloat } from '../format/safetensors.ts';
import { bytesOf, fieldsOf, fixedOf, intOf, intsOf, Malformed, textOf, viewOf } from './wire.ts';

/** Element types of ONNX by number: name and width in bits; strings have none. */
const ELEMENTS: Readonly<Record<number, readonly [name: string, bits: number]>> = {
  1: ['float', 32],
  2: ['uint8', 8],
  3: ['int8', 8],
  4: ['uint16', 16],
  5: ['int16', 16],
  6: ['int32', 32],
  7: ['int64', 64],
  8: ['string', 0],
  9: ['bool', 8],
  10: ['float16', 16],
  11: ['double', 64],
  12: ['uint32', 32],
  13: ['uint64', 64],
  14: ['complex64', 64],
  15: ['complex128', 128],
  16: ['bfloat16', 16],
  17: ['float8e4m3fn', 8],
  18: ['float8e4m3fnuz', 8],
  19: ['float8e5m2', 8],
  20: ['float8e5m2fnuz', 8],
  21: ['uint4', 4],
  22: ['int4', 4],
  23: ['float4e2m1', 4],
  24: ['float8e8m0', 8],
  25: ['uint2', 2],
  26: ['int2', 2],
};

export const FLOAT = 1;
export const FLOAT16 = 10;

export const elementName = (type: number): string => ELEMENTS[type]?.[0] ?? `type ${type}`;

/** Where a tensor's bytes lie outside the .onnx file. */
export type External = { readonly location: string; readonly offset: number; readonly length: number };

export type OnnxTensor = {
  readonly name: string;
  readonly type: number;
  readonly dims: readonly number[];
  /** Product of `dims`. */
  readonly count: number;
  /** Of the values as raw data; 0 for strings. */
  readonly sizeBytes: number;
  readonly external: External | null;
  /** The whole message. */
  readonly message: Uint8Array;
};

/** Product of dimensions. Throws Malformed where one is negative or the product is no exact number. */
export function countOf(dims: readonly number[]): number {
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (dims.some((dim) => !Number.isSafeInteger(dim) || dim < 0) || !Number.isSafeInteger(count))
    throw new Malformed(`its shape [${dims.slice(0, 8).join(', ')}] cannot be`);
  return count;
}

function readExternal(entries: readonly Uint8Array[], sizeBytes: number): External {
  const values = new Map<string, string>();
  for (const entry of entries) {
    let [key, value] = ['', ''];
    for (const field of fieldsOf(entry)) {
      if (field.number === 1) key = textOf(field);
      else if (field.number === 2) value = textOf(field);
    }
    values.set(key, value);
  }
  const location = values.get('location');
  if (!location) throw new Malformed('it is stored elsewhere and does not say where');
  const number = (key: string, otherwise: number): number => {
    const text = values.get(key);
    const value = text === undefined ? otherwise : Number(text);
    if (!Number.isSafeInteger(value) || value < 0 || text?.trim() === '')
      throw new Malformed(`its ${key} in "${location}" is ${JSON.stringify(text?.slice(0, 40))}`);
    return value;
  };
  const length = number('length', sizeBytes);
  if (length !== sizeBytes)
    throw new Malformed(`its length in "${location}" is ${length} bytes, its shape wants ${sizeBytes}`);
  return { location, offset: number('offset', 0), length };
}

/** How many numbers the data fields hold, and in which field. */
type Stored = { raw: number | null; typed: number };

function checkStored({ raw, typed }: Stored, type: number, count: number, sizeBytes: number): void {
  const bits = ELEMENTS[type]?.[1] ?? 0;
  if (raw !== null) {
    if (bits === 0) throw new Malformed('it holds strings as raw data');
    if (raw !== sizeBytes) throw new Malformed(`it holds ${raw} bytes, its shape wants ${sizeBytes}`);
    return;
  }
  const wanted =
    bits > 0 && bits < 8 ? Math.ceil((count * bits) / 8) : type === 14 || type === 15 ? 2 * count : count;
  if (typed !== wanted) throw new Malformed(`it holds ${typed} values, its shape wants ${wanted}`);
}

/** Reads the claims of a TensorProto and holds them against its bytes. Throws Malformed. */
export function readTensor(message: Uint8Array): OnnxTensor {
  let name = '';
  let type = 0;
  let isExternal = false;
  const dims: number[] = [];
  const entries: Uint8Array[] = [];
  const stored: Stored = { raw: null, typed: 0 };
  for (const field of fieldsOf(message)) {
    const { number } = field;
    if (number === 1) {
      for (const dim of intsOf(field)) {
        if (dims.length >= 64) throw new Malformed('it has more than 64 dimensions');
        dims.push(dim);
      }
    } else if (number === 2) type = intOf(field);
    else if (number === 3) throw new Malformed('it is stored in segments, which ONNX never used');
    else if (number === 4) stored.typed += fixedOf(field, 4).length / 4;
    else if (number === 10) stored.typed += fixedOf(field, 8).length / 8;
    else if (number === 5 || number === 7 || number === 11) for (const _ of intsOf(field)) stored.typed += 1;
    else if (number === 6) stored.typed += Number(bytesOf(field).length >= 0);
    else if (number === 8) name = textOf(field);
    else if (number === 9) stored.raw = bytesOf(field).length;
    else if (number === 13) entries.push(bytesOf(field));
    else if (number === 14) isExternal = intOf(field) === 1;
  }
  const element = ELEMENTS[type];
  if (!element) throw new Malformed(`it has the unknown data type ${type}`);
  const count = countOf(dims);
  const sizeBytes = Math.ceil((count * element[1]) / 8);
  if (!Number.isSafeInteger(sizeBytes)) throw new Malformed(`its shape [${dims.join(', ')}] cannot be`);
  if (!isExternal) checkStored(stored, type, count, sizeBytes);
  const external = isExternal ? readExternal(entries, sizeBytes) : null;
  return { name, type, dims, count, sizeBytes, external, message };
}

/** The values as float64, or null for types that are no plain numbers. `outside` are the bytes of an external tensor. */
export function valuesOf(tensor: OnnxTensor, outside?: Uint8Array): Float64Array | null {
  const { type, count, message, external } = tensor;
  let raw = external ? outside : undefined;
  const typed: number[] = [];
  if (external && !raw) return null;
  for (const field of external ? [] : fieldsOf(message)) {
    if (field.number === 9) raw = bytesOf(field);
    else if (field.number === 5 || field.number === 7) for (const value of intsOf(field)) typed.push(value);
    else if (field.number === 4 || field.number === 10) {
      const width = field.number === 4 ? 4 : 8;
      const view = viewOf(fixedOf(field, width));
      for (let at = 0; at < view.byteLength; at += width)
        typed.push(width === 4 ? view.getFloat32(at, true) : view.getFloat64(at, true));
    }
  }
  const bfloat = (bits: number): number => new Float32Array(Uint32Array.of(bits << 16).buffer)[0] ?? 0;
  if (!raw) {
    if (type === FLOAT16) return Float64Array.from(typed, halfToFloat);
    if (type === 16) return Float64Array.from(typed, bfloat);
    return [FLOAT, 11, 6, 7].includes(type) ? Float64Array.from(typed) : null;
  }
  const view = viewOf(raw);
  const readers: Readonly<Record<number, (index: number) => number>> = {
    [FLOAT]: (i) => view.getFloat32(4 * i, true),
    11: (i) => view.getFloat64(8 * i, true),
    6: (i) => view.getInt32(4 * i, true),
    7: (i) => Number(view.getBigInt64(8 * i, true)),
    [FLOAT16]: (i) => halfToFloat(view.getUint16(2 * i, true)),
    16: (i) => bfloat(view.getUint16(2 * i, true)),
  };
  const reader = readers[type];
  return reader ? Float64Array.from({ length: count }, (_, i) => reader(i)) : null;
}
