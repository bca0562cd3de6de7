// What a model folder says of itself: public/models/<id>/model.json and each twin's config.json.
import * as v from 'valibot';
import { FIRST_NORM, isNormId, NORM_IDS } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { Problem } from '../problem.ts';

/** The models this page brings along, first one first. */
export const MODEL_IDS = ['fairy-tale-gpt'] as const;
export const FIRST_MODEL: string = MODEL_IDS[0];
/** What is run before anybody typed. */
export const FIRST_PROMPT = 'Omeed likes to eat potatoes';

/** The file that describes a model's folder. */
export const CARD = 'model.json';
/** What a checkpoint's files are called. */
export const CONFIG = 'config.json';
export const TOKENIZER = 'tokenizer.json';
export const WEIGHTS = 'model.safetensors';
export const MODEL_SCHEMA = 'normscope/model/1';

const FileRef = v.object({
  path: v.pipe(v.string(), v.regex(/^[\w./-]+$/)),
  sizeBytes: v.pipe(v.number(), v.integer(), v.minValue(1)),
  sha256: v.pipe(v.string(), v.hexadecimal(), v.length(64)),
});

/** Windows of token ids as little-endian uint16, one after the other. */
const Windows = v.object({
  ...FileRef.entries,
  windowTokens: v.pipe(v.number(), v.integer(), v.minValue(2)),
});

const Twin = v.object({ config: v.string(), weights: FileRef, heldOutLoss: v.number() });

const Catalog = v.object({
  schema: v.literal(MODEL_SCHEMA),
  id: v.string(),
  name: v.string(),
  license: v.string(),
  description: v.string(),
  parameterCount: v.pipe(v.number(), v.integer()),
  tokenizer: FileRef,
  /** Text to fit on, and text to measure on that no fit ever sees. */
  calibration: v.optional(Windows),
  heldOut: v.optional(Windows),
  twins: v.record(v.pipe(v.string(), v.check(isNormId, 'is no known norm')), Twin),
});

export type WindowsInfo = v.InferOutput<typeof Windows>;
export type TwinInfo = v.InferOutput<typeof Twin>;
export type ModelInfo = Omit<v.InferOutput<typeof Catalog>, 'twins'> & {
  readonly twins: Readonly<Partial<Record<NormId, TwinInfo>>>;
};

/** `json` as the `schema` says, or Problem `bad-file` naming the file and the place in it. */
export function parseJson<S extends v.GenericSchema>(
  file: string,
  json: string,
  schema: S,
): v.InferOutput<S> {
  const hint =
    'The file on the server does not belong to this version of Normscope: deploy the whole dist folder.';
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new Problem(
      'bad-file',
      `Cannot read "${file}": it is no JSON (${cause instanceof Error ? cause.message : cause})`,
      hint,
    );
  }
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw new Problem(
    'bad-file',
    `Cannot read "${file}": ${v.getDotPath(issue) ?? 'the whole file'}: ${issue.message}`,
    hint,
  );
}

export const parseModelInfo = (file: string, json: string): ModelInfo => parseJson(file, json, Catalog);

export const weightsId = (model: string, norm: NormId): string => `${model}/${norm}`;

/** Model and twin of a weights id; throws RangeError when it is none of ours. */
export function splitWeightsId(id: string): { model: string; norm: NormId } {
  const slash = id.lastIndexOf('/');
  const norm = id.slice(slash + 1);
  if (slash < 1 || !isNormId(norm)) throw new RangeError(`Cannot find weights "${id}"`);
  return { model: id.slice(0, slash), norm };
}

export const trainedNorms = (info: ModelInfo): NormId[] =>
  NORM_IDS.filter((id) => info.twins[id] !== undefined);
export const firstTwin = (info: ModelInfo): NormId =>
  info.twins[FIRST_NORM] ? FIRST_NORM : (trainedNorms(info)[0] ?? FIRST_NORM);
