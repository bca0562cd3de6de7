// Checkpoints of the transformers library, judged by what their config.json and their headers say, never by their name.
import { parseStrictJson } from '../format/json.ts';
import type { Dtype } from '../format/safetensors.ts';
import type { IndexedTensor, TensorIndex } from '../format/tensors.ts';
import { patchValues } from '../kernel/embed.ts';
import { NORM_IDS, normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { Problem } from '../problem.ts';
import { BERT, DISTILBERT } from './families/bert.ts';
import { GPT } from './families/gpt.ts';
import { GPT2 } from './families/gpt2.ts';
import { LLAMA } from './families/llama.ts';
import { VIT } from './families/vit.ts';
import type { Blueprint, Family, FamilySite } from './family.ts';
import { matricesOf } from './matrices.ts';

export const FAMILIES: readonly Family[] = [GPT2, LLAMA, BERT, DISTILBERT, VIT, GPT];

export const CONFIG_LIMIT_BYTES = 4 * 2 ** 20;

/** What the configuration describes. Throws Problem `bad-file`, or `unsupported` for a family that is not here. */
export function readConfig(file: string, json: Uint8Array): Blueprint {
  let raw: unknown;
  try {
    raw = parseStrictJson(json, { maxBytes: CONFIG_LIMIT_BYTES, maxDepth: 32, maxValues: 500_000 });
  } catch (cause) {
    throw new Problem(
      'bad-file',
      `Cannot read "${file}": it is no JSON (${cause instanceof Error ? cause.message : cause})`,
      'Fetch the file again.',
    );
  }
  const fields = typeof raw === 'object' && raw !== null && !Array.isArray(raw) ? raw : {};
  const config = fields as Record<string, unknown>;
  const type = config['model_type'];
  const family =
    type === undefined || type === null
      ? FAMILIES.find(({ telltale }) => telltale.every((field) => Object.hasOwn(config, field)))
      : FAMILIES.find(({ modelTypes }) => modelTypes.some((known) => known === type));
  if (family) return family.read(file, config);
  const known = FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(', ');
  throw new Problem(
    'unsupported',
    `Cannot use "${file}": ${type ? `model_type ${JSON.stringify(type).slice(0, 60)} is` : 'its fields are'} of no family that Normscope runs`,
    `These are: ${known}.`,
  );
}

export type BoundSite = {
  readonly site: FamilySite;
  /** The member its tensors are parameters of. */
  readonly norm: NormId;
  /** By the tensor names of norm/registry.ts. */
  readonly tensors: ReadonlyMap<string, IndexedTensor>;
};

/** A checkpoint that is what its configuration says, name by name. */
export type BoundModel = {
  readonly blueprint: Blueprint;
  /** Tensors outside the sites, by the family's names; optional ones may be absent. */
  readonly tensors: ReadonlyMap<string, IndexedTensor>;
  readonly sites: readonly BoundSite[];
};

const HINT =
  'The weights and the configuration do not belong together, or a download is not whole: fetch both again.';
const FLOATS: readonly Dtype[] = ['F32', 'F16', 'BF16'];
/** Names of older versions, and what they are called since. */
const OLD_NAMES = new Map([
  ['gamma', 'weight'],
  ['beta', 'bias'],
]);
/** A counter that frameworks store beside running averages. */
const COUNTERS = new Set(['num_batches_tracked']);

const bad = (name: string, file: string, reason: string): Problem =>
  new Problem('bad-file', `Cannot use tensor "${name.slice(0, 200)}" of "${file}": ${reason}`, HINT);

/** Where a tensor that is nowhere should have been. */
const missing = (name: string, { files, label }: TensorIndex): Problem => {
  const [file = label] = files.keys();
  return bad(
    name,
    files.size > 1 ? `${file}" and the ${files.size - 1} others of "${label}` : file,
    'it is missing',
  );
};

function checkTensor({ name, file, shape, dtype }: IndexedTensor, expected: readonly number[]): void {
  if (shape.join() !== expected.join())
    throw bad(name, file, `its shape is [${shape.join(', ')}] and [${expected.join(', ')}] is expected`);
  if (!FLOATS.includes(dtype))
    throw bad(name, file, `its dtype is ${dtype} and ${FLOATS.join(', ')} are read`);
}

/** Tensors a member cannot do without; converted models may leave out a shift of zeros. */
const requiredTensors = (norm: NormId, isNative: boolean): string[] =>
  Object.values(normSpec(norm).params).flatMap(({ tensor, isOptional, size, default: value, measured }) => {
    const isZeroShift = size === 'C' && value === 0 && measured === undefined;
    return tensor === null || isOptional || (isZeroShift && !isNative) ? [] : [tensor];
  });

/** The member whose parameters these tensors are: the stated or the family's own if it can be, else the first that fits exactly. */
function memberOf(names: readonly string[], native: NormId, isStated: boolean): NormId | undefined {
  const knows = (id: NormId): boolean => {
    const known = new Set(Object.values(normSpec(id).params).map(({ tensor }) => tensor));
    return names.every((name) => known.has(name));
  };
  if (knows(native)) return native;
  if (isStated) return undefined;
  return NORM_IDS.find((id) => knows(id) && requiredTensors(id, false).every((name) => names.includes(name)));
}

function bindSite(
  site: FamilySite,
  stem: string,
  held: ReadonlyMap<string, IndexedTensor>,
  { norm: common, dims }: Blueprint,
  index: TensorIndex,
): BoundSite {
  const native = site.norm ?? common.native;
  const isStated = site.norm !== undefined || common.isStated;
  const tensors = new Map<string, IndexedTensor>();
  for (const [name, tensor] of held) {
    if (COUNTERS.has(name)) continue;
    const known = OLD_NAMES.get(name) ?? name;
    if (tensors.has(known)) throw bad(tensor.name, tensor.file, `"${stem}.${known}" is there too`);
    tensors.set(known, tensor);
  }
  const names = [...tensors.keys()];
  const norm = memberOf(names, native, isStated);
  if (norm === undefined) {
    throw new Problem(
      'bad-file',
      `Cannot use norm "${stem}" of ${index.label}: ${isStated ? `the configuration names ${normSpec(native).label}, and its parameters are not` : 'no norm of Normscope has the parameters'} ${names.join(', ').slice(0, 200)}`,
      HINT,
    );
  }
  for (const name of requiredTensors(norm, norm === native))
    if (!tensors.has(name)) throw missing(`${stem}.${name}`, index);
  for (const { tensor: name, size } of Object.values(normSpec(norm).params)) {
    const tensor = name === null ? undefined : tensors.get(name);
    if (!tensor) continue;
    if (size === 1 && tensor.shape.length === 0) checkTensor(tensor, []);
    else checkTensor(tensor, [size === 'C' ? dims.C : 1]);
  }
  return { site, norm, tensors };
}

/** Tensors by the module that holds them: `h.0.ln_1` → weight, bias. */
function byModule(index: TensorIndex): Map<string, Map<string, IndexedTensor>> {
  const modules = new Map<string, Map<string, IndexedTensor>>();
  for (const tensor of index.tensors.values()) {
    const dot = tensor.name.lastIndexOf('.');
    const module = tensor.name.slice(0, Math.max(dot, 0));
    const held = modules.get(module) ?? new Map<string, IndexedTensor>();
    held.set(tensor.name.slice(dot + 1), tensor);
    modules.set(module, held);
  }
  return modules;
}

/**
 * Every tensor of the family found in the checkpoint with its shape, and nothing else there.
 * Throws Problem `bad-file` that names the tensor, its file and the reason.
 */
export function bindTensors(blueprint: Blueprint, index: TensorIndex): BoundModel {
  const { prefixes, tensors: specs, sites: familySites, ignored } = blueprint;
  const anchor = Object.keys(specs).find((name) => specs[name]?.isHead !== true) ?? '';
  const prefix = prefixes.find((known) => index.tensors.has(known + anchor));
  if (prefix === undefined) throw missing((prefixes[0] ?? '') + anchor, index);
  const used = new Set<string>();
  const tensors = new Map<string, IndexedTensor>();
  for (const [name, { shape, isOptional = false, isHead = false }] of Object.entries(specs)) {
    const stored = isHead ? name : prefix + name;
    const tensor = index.tensors.get(stored);
    if (tensor) {
      checkTensor(tensor, shape);
      tensors.set(name, tensor);
      used.add(stored);
    } else if (!isOptional) {
      throw missing(stored, index);
    }
  }
  const modules = byModule(index);
  const sites = familySites.map((site) => {
    const stem = site.isHead ? site.id : prefix + site.id;
    const held = modules.get(stem) ?? new Map<string, IndexedTensor>();
    for (const { name } of held.values()) used.add(name);
    return bindSite(site, stem, held, blueprint, index);
  });
  for (const { name, file } of index.tensors.values()) {
    const bare = name.startsWith(prefix) ? name.slice(prefix.length) : name;
    if (!used.has(name) && !ignored.some((pattern) => pattern.test(bare)))
      throw bad(
        name,
        file,
        `it is no part of the ${blueprint.family} model that the configuration describes`,
      );
  }
  return { blueprint, tensors, sites };
}

/** Throws Problem `bad-file` when the tokenizer knows ids that the embedding has no row for. */
export function checkVocabulary(file: string, largestId: number, vocabSize: number): void {
  if (largestId < vocabSize) return;
  throw new Problem(
    'bad-file',
    `Cannot use "${file}": its largest token id is ${largestId} and the model knows ${vocabSize} tokens`,
    'The tokenizer is another model’s: fetch the one that belongs to these weights.',
  );
}

export type GpuEstimate = {
  readonly weightsBytes: number;
  /** Residual stream, queries, keys and values, MLP and logits, for `rows` tokens in f32. */
  readonly activationsBytes: number;
  /** Keys and values, in f32: of every layer where tokens see earlier ones only, else of one at a time. */
  readonly cacheBytes: number;
  readonly totalBytes: number;
};

/**
 * Bytes on the GPU for `rows` tokens, before anything but the configuration is fetched; with `bound`, by the dtypes in
 * the headers. Matrices stay as wide as stored, rows padded to an even length; everything else is f32.
 */
export function estimateGpuBytes(blueprint: Blueprint, rows: number, bound?: BoundModel): GpuEstimate {
  const { tensors, sites, statedWidth, isCausal, isGated, image } = blueprint;
  const { T, C, H, G, D, F, V, L } = blueprint.dims;
  const bytesOf = (shape: readonly number[], width: number): number => {
    const values = shape.reduce((product, n) => product * n, 1);
    const row = shape.at(-1) ?? 1;
    return (values / row) * (row + (row % 2)) * width;
  };
  const matrices = new Set([...matricesOf(blueprint).values()].flatMap(({ parts }) => parts));
  let weightsBytes = 0;
  for (const [name, { shape, isOptional = false }] of Object.entries(tensors)) {
    if (isOptional) continue; // a tied copy shares its buffer
    const stored = bound?.tensors.get(name);
    const width = stored ? (stored.dtype === 'F32' ? 4 : 2) : statedWidth;
    weightsBytes += matrices.has(name) ? bytesOf(shape, width) : bytesOf(shape, 4);
  }
  weightsBytes += sites.length * 2 * C * 4;
  const tokens = Math.min(rows, T);
  // The residual stream and its norms: two rows of C where norms come before, four where they come after.
  const perToken = (isCausal ? 2 : 4) * C + (H + 2 * G) * D + H * D + F * (isGated ? 3 : 1) + V;
  // An image's patches hold its pixels once more, and a row for the class token.
  const perImage = image ? patchValues(image) * (2 * tokens - 1) : 0;
  const activationsBytes = (tokens * perToken + perImage) * 4;
  const cacheBytes = 2 * (isCausal ? L : 1) * tokens * G * D * 4;
  return {
    weightsBytes,
    activationsBytes,
    cacheBytes,
    totalBytes: weightsBytes + activationsBytes + cacheBytes,
  };
}
