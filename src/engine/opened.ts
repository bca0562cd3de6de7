// Checkpoints that a person brings: from files or from the Hub to something the library holds like a twin.
import type { ConvertedFile } from '../fit/convert.ts';
import { FileCache, keepIn } from '../format/cache.ts';
import { hubFiles, parseHubAddress } from '../format/hub.ts';
import { parseStrictJson } from '../format/json.ts';
import { readSmall } from '../format/source.ts';
import type { Source } from '../format/source.ts';
import { openTensors } from '../format/tensors.ts';
import type { IndexedTensor } from '../format/tensors.ts';
import type { Dtype } from '../format/safetensors.ts';
import { IdCodec, Tokenizer } from '../format/tokenizer.ts';
import type { TextCodec } from '../format/tokenizer.ts';
import { sha256 } from '../format/fetch.ts';
import { CONFIG, MODEL_SCHEMA, TOKENIZER, WEIGHTS, weightsId } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
import {
  bindTensors,
  checkVocabulary,
  CONFIG_LIMIT_BYTES,
  estimateGpuBytes,
  readConfig,
} from '../model/hf.ts';
import { contextOf, OpenedCheckpoint } from '../model/opened.ts';
import { diskModelId, hubModelId } from '../model/model-id.ts';
import { DEFAULT_FORM, readImageForm } from '../model/pixels.ts';
import type { ImageForm } from '../model/pixels.ts';
import { Problem, problemData } from '../problem.ts';
import type { ProblemData } from '../problem.ts';
import type { Survey, Opened, OpenWhat } from './api.ts';
import type { Library } from './library.ts';
import { cardFileReader, checkpointFiles } from './model-folder.ts';
import type { CardedSource } from './model-folder.ts';

const IMAGE_FORM = 'preprocessor_config.json';
const TOKENIZER_LIMIT_BYTES = 128 * 2 ** 20;

/** What can be opened here: also a folder that a command line reads. */
type Openable = OpenWhat | { readonly source: Source };

async function sourceOf(
  what: Openable,
  onNotice: (notice: Problem) => void,
  signal?: AbortSignal,
): Promise<CardedSource> {
  if ('source' in what) return { source: what.source, card: null };
  if ('files' in what) return checkpointFiles(what.files);
  const address = parseHubAddress(what.hub);
  if (!address) {
    throw new Problem(
      'usage',
      `Cannot open "${what.hub.slice(0, 200)}": it is no address of the Hugging Face Hub`,
      'Write owner/name, or owner/name@revision.',
    );
  }
  const source = keepIn(await FileCache.open(), await hubFiles(address, signal), onNotice);
  return { source, card: null };
}

/** Bytes of these files that an earlier download left here. */
async function keptBytesOf(source: Source, files: ReadonlyMap<string, number>): Promise<number> {
  const kept = (await (await FileCache.open()).list()).filter(({ label }) => label === source.label);
  let sum = 0;
  for (const { path, tag, keptBytes } of kept)
    if (files.has(path) && (await source.tag(path)) === tag) sum += keptBytes;
  return sum;
}

async function imageFormOf(source: Source, signal?: AbortSignal): Promise<ImageForm> {
  const files = await source.list(signal);
  if (!files?.some(({ path }) => path === IMAGE_FORM)) return DEFAULT_FORM;
  const bytes = await readSmall(source, IMAGE_FORM, CONFIG_LIMIT_BYTES, signal);
  let value: unknown;
  try {
    value = parseStrictJson(bytes, { maxBytes: CONFIG_LIMIT_BYTES });
  } catch (cause) {
    throw new Problem(
      'bad-file',
      `Cannot read "${IMAGE_FORM}": it is no JSON (${cause instanceof Error ? cause.message : cause})`,
      'Fetch the file again.',
    );
  }
  return readImageForm(IMAGE_FORM, value);
}

/** A checkpoint of which only configuration and headers were read. */
export type Found = CardedSource & {
  readonly survey: Survey;
  readonly checkpoint: OpenedCheckpoint;
  readonly labels: readonly string[];
};

/** Widest share of the bytes first. */
function dtypesOf(tensors: readonly IndexedTensor[]): Dtype[] {
  const bytes = new Map<Dtype, number>();
  for (const { dtype, begin, end } of tensors) bytes.set(dtype, (bytes.get(dtype) ?? 0) + end - begin);
  return [...bytes].toSorted(([, a], [, b]) => b - a).map(([dtype]) => dtype);
}

/** `mostBytes`: what one buffer holds. Throws a Problem that names file, tensor and reason. */
export async function find(
  what: Openable,
  mostBytes: number,
  onNotice: (notice: Problem) => void,
  signal?: AbortSignal,
): Promise<Found> {
  const { source, card } = await sourceOf(what, onNotice, signal);
  const config = await readSmall(source, CONFIG, CONFIG_LIMIT_BYTES, signal);
  const blueprint = readConfig(CONFIG, config);
  const context = contextOf(blueprint, mostBytes);
  const index = await openTensors(source, signal);
  const bound = bindTensors(blueprint, index);
  const checkpoint = new OpenedCheckpoint(source, index, bound, context, config);
  const { family, output, image, dims } = blueprint;
  const counted = [...bound.tensors.values(), ...bound.sites.flatMap(({ tensors }) => [...tensors.values()])];
  const files = await source.list(signal);
  return {
    source,
    card,
    checkpoint,
    labels: blueprint.labels,
    survey: {
      label: source.label,
      family,
      output,
      image,
      imageForm: image && (await imageFormOf(source, signal)),
      dims,
      context,
      vocabSize: checkpoint.vocabSize,
      sites: bound.sites.map(({ site, norm }) => ({ ...site, norm })),
      parameterCount: counted.reduce((sum, { shape }) => sum + shape.reduce((n, size) => n * size, 1), 0),
      dtypes: dtypesOf(counted),
      keptBytes: 'hub' in what ? await keptBytesOf(source, index.files) : 0,
      fileBytes: [...index.files.values()].reduce((sum, bytes) => sum + bytes, 0),
      hasTokenizer: !image && (files?.some(({ path }) => path === TOKENIZER) ?? false),
      estimate: estimateGpuBytes(blueprint, context, bound),
    },
  };
}

/** The tokenizer beside the weights; ids as words where there is none. */
async function tokenizerOf(
  { survey, checkpoint, source, labels }: Found,
  signal?: AbortSignal,
): Promise<{ readonly tokenizer: TextCodec; readonly file: ModelInfo['tokenizer'] }> {
  const json = survey.hasTokenizer
    ? await readSmall(source, TOKENIZER, TOKENIZER_LIMIT_BYTES, signal)
    : new Uint8Array();
  const file = { path: TOKENIZER, sizeBytes: json.byteLength, sha256: sha256(json) };
  if (!survey.hasTokenizer) return { tokenizer: new IdCodec(labels), file };
  const tokenizer = new Tokenizer(TOKENIZER, new TextDecoder().decode(json), true);
  checkVocabulary(TOKENIZER, tokenizer.largestId, checkpoint.vocabSize);
  return { tokenizer, file };
}

/**
 * A checkpoint in the library. `put` reads its tensors, to a device where there is one, and is told under what weights id
 * when all went well; only then is anything known of it.
 */
export async function openInto(
  library: Library,
  what: Openable,
  mostBytes: number,
  put: (checkpoint: OpenedCheckpoint) => Promise<(weights: string) => Promise<void>>,
  signal?: AbortSignal,
): Promise<Opened> {
  let notice: ProblemData | null = null;
  const found = await find(what, mostBytes, (problem) => (notice = problemData(problem)), signal);
  const { survey, checkpoint, source, card } = found;
  const { tokenizer, file } = await tokenizerOf(found, signal);
  const keep = await put(checkpoint);
  const { label, family, parameterCount, fileBytes } = survey;
  const { norm, sha256: digest } = checkpoint;
  const isHub = 'hub' in what;
  const name = isHub ? label : source.folder || family;
  const id = isHub ? hubModelId(label) : diskModelId(name, digest);
  const weights = weightsId(id, norm);
  const stored = { path: WEIGHTS, sizeBytes: fileBytes, sha256: digest };
  const info: ModelInfo = {
    schema: MODEL_SCHEMA,
    id,
    name,
    license: '',
    description: `A ${family} model from ${label}.`,
    ...card,
    parameterCount,
    tokenizer: file,
    twins: { [norm]: { config: CONFIG, weights: stored, heldOutLoss: Number.NaN } },
  };
  const carried = async (): Promise<ConvertedFile[]> =>
    survey.hasTokenizer
      ? [{ path: TOKENIZER, bytes: await readSmall(source, TOKENIZER, TOKENIZER_LIMIT_BYTES) }]
      : [];
  const read = card ? { read: cardFileReader(source) } : {};
  library.add(weights, checkpoint, { info, tokenizer, carried, ...read });
  await keep(weights);
  return { model: info, loaded: await library.load(weights), survey, notice };
}
