// The models that a page or a command has at hand: descriptions, tokenizers and checked weights, on the CPU.
// Every engine reads from one.
import type { ConvertedFile } from '../fit/convert.ts';
import { fetchFile, fetchResponse } from '../format/fetch.ts';
import type { FileRef, Get } from '../format/fetch.ts';
import { parseSafetensors } from '../format/safetensors.ts';
import { Tokenizer } from '../format/tokenizer.ts';
import type { TextCodec, Token } from '../format/tokenizer.ts';
import { CARD, parseJson, parseModelInfo, splitWeightsId } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
import { checkTensors, gptCheckpoint, GptConfig } from '../model/families/gpt.ts';
import { sitesOf } from '../model/model.ts';
import { onCpu } from '../model/opened.ts';
import type { Plan } from '../model/plan.ts';
import type { Checkpoint } from '../model/model.ts';
import type { OnnxFile, OnnxOptions } from '../onnx/write.ts';
import { Problem } from '../problem.ts';
import type { Loaded, LoadProgress } from './api.ts';
import { needsWebGpu } from './patience.ts';

type LoadedModel = {
  readonly info: ModelInfo;
  readonly tokenizer: TextCodec;
  /** Reads a file of an opened model. */
  readonly read?: (file: FileRef) => Promise<Uint8Array>;
  /** What goes along when an opened model is written again. */
  readonly carried?: () => Promise<ConvertedFile[]>;
};

/** Token ids of little-endian uint16. */
export const readWindows = (bytes: Uint8Array): number[] =>
  Array.from({ length: bytes.length >> 1 }, (_, i) => (bytes[2 * i] ?? 0) | ((bytes[2 * i + 1] ?? 0) << 8));

export class Library {
  readonly #folderOf: (model: string) => URL;
  readonly #get: Get | undefined;
  readonly #models = new Map<string, Promise<LoadedModel>>();
  readonly #checkpoints = new Map<string, Checkpoint>();

  /** `models`: the folder that holds a folder a model, or what tells a model's own; all with a closing slash. */
  constructor(models: URL | ((model: string) => URL), get?: Get) {
    this.#folderOf = models instanceof URL ? (model) => new URL(`${model}/`, models) : models;
    this.#get = get;
  }

  /** Description and tokenizer of a model, fetched once. */
  model(id: string): Promise<LoadedModel> {
    let model = this.#models.get(id);
    if (!model) {
      model = this.#fetchModel(id);
      model.catch(() => this.#models.delete(id));
      this.#models.set(id, model);
    }
    return model;
  }

  async #fetchModel(id: string): Promise<LoadedModel> {
    const base = this.#folderOf(id);
    const get = this.#get;
    const card = await fetchResponse(new URL(CARD, base), undefined, get);
    const info = parseModelInfo(`${id}/model.json`, await card.text());
    const json = new TextDecoder().decode(await fetchFile(base, info.tokenizer, { get }));
    return { info, tokenizer: new Tokenizer(`${id}/${info.tokenizer.path}`, json) };
  }

  /** Weights, fetched, checked and kept on the CPU, so that a lost device can be filled again. */
  async checkpoint(
    weights: string,
    onProgress: (progress: LoadProgress) => void = () => undefined,
    signal?: AbortSignal,
  ): Promise<Checkpoint> {
    const known = this.#checkpoints.get(weights);
    if (known) return known;
    const { model, norm } = splitWeightsId(weights);
    const { info } = await this.model(model);
    const twin = info.twins[norm];
    if (!twin) throw new RangeError(`Cannot load "${weights}": model "${model}" has no twin trained with it`);
    const base = this.#folderOf(model);
    const get = this.#get;
    const configText = await (await fetchResponse(new URL(twin.config, base), signal, get)).text();
    const config = parseJson(`${model}/${twin.config}`, configText, GptConfig);
    if (config.norm !== norm) {
      throw new Problem(
        'bad-file',
        `Cannot use "${twin.config}": it describes norm "${config.norm}" and "${norm}" is expected`,
        'Deploy the model folder anew.',
      );
    }
    const totalBytes = twin.weights.sizeBytes;
    const toCheckpoint = (bytes: Uint8Array): Checkpoint => {
      const made = { config, norm, file: parseSafetensors(twin.weights.path, bytes) };
      checkTensors(made);
      return gptCheckpoint(made);
    };
    const explain = (bytes: Uint8Array): string => {
      try {
        toCheckpoint(bytes);
        return '';
      } catch (thrown) {
        return thrown instanceof Problem ? `. ${thrown.message}` : '';
      }
    };
    const onBytes = (loadedBytes: number): void => onProgress({ loadedBytes, totalBytes });
    const checkpoint = toCheckpoint(await fetchFile(base, twin.weights, { onBytes, signal, explain, get }));
    this.#checkpoints.set(weights, checkpoint);
    return checkpoint;
  }

  /** What the engine tells of weights that are ready. */
  async load(
    weights: string,
    { onProgress, signal }: { onProgress?: (progress: LoadProgress) => void; signal?: AbortSignal } = {},
  ): Promise<Loaded> {
    const checkpoint = await this.checkpoint(weights, onProgress, signal);
    const { info } = await this.model(splitWeightsId(weights).model);
    return {
      weights,
      sha256: info.twins[checkpoint.norm]?.weights.sha256 ?? '',
      context: checkpoint.context,
      vocabSize: checkpoint.vocabSize,
      sites: sitesOf(checkpoint),
    };
  }

  /** Takes in a checkpoint that somebody opened. */
  add(weights: string, checkpoint: Checkpoint, model: LoadedModel): void {
    this.#models.set(model.info.id, Promise.resolve(model));
    this.#checkpoints.set(weights, checkpoint);
  }

  /** Forgets weights. */
  close(weights: string): void {
    const isOpened = this.#checkpoints.get(weights)?.streamed !== undefined;
    this.#checkpoints.delete(weights);
    if (isOpened) this.#models.delete(splitWeightsId(weights).model);
  }

  /** Windows of tokens that a model brings along to fit on or to measure on; null if it does not. */
  async windows(
    model: string,
    use: 'calibration' | 'heldOut',
  ): Promise<readonly (readonly number[])[] | null> {
    const { info, read } = await this.model(model);
    const file = info[use];
    if (!file) return null;
    const bytes = await (read?.(file) ?? fetchFile(this.#folderOf(model), file, { get: this.#get }));
    const n = file.windowTokens;
    const all = readWindows(bytes);
    return Array.from({ length: Math.floor(all.length / n) }, (_, i) => all.slice(n * i, n * (i + 1)));
  }

  /** The plan's model as the files of a folder that can be loaded again. Throws Problem `usage` where none can say it. */
  async converted(plan: Plan, heldOutLoss: number): Promise<ConvertedFile<Uint8Array | Blob>[]> {
    const { convertModel, convertOpened } = await import('./convert.ts');
    const checkpoint = await this.checkpoint(plan.weights);
    const { model } = splitWeightsId(plan.weights);
    const { info, read, carried: along } = await this.model(model);
    const { stored } = checkpoint;
    const tokenizer = (await along?.()) ?? [];
    if (stored && !read) return convertOpened(checkpoint, plan, tokenizer);
    const get = read ?? ((file: FileRef) => fetchFile(this.#folderOf(model), file, { get: this.#get }));
    const files = [...(stored ? [] : [info.tokenizer]), info.calibration, info.heldOut];
    const carried = await Promise.all(
      files.flatMap((file) => (file ? [get(file).then((bytes) => ({ path: file.path, bytes }))] : [])),
    );
    if (!stored) return convertModel(checkpoint, info, plan, carried, heldOutLoss);
    // A folder of ours that was opened is one of ours again, with its card and its texts.
    const whole = { ...(await onCpu(checkpoint)), config: stored.config };
    return convertModel(whole, { ...info, id: info.name }, plan, [...tokenizer, ...carried], heldOutLoss);
  }

  async tokenize(model: string, text: string): Promise<Token[]> {
    const { tokenizer } = await this.model(model);
    return tokenizer.tokens(tokenizer.encode(text));
  }

  /** The plan's model as an ONNX file; the writer comes when it is first needed. */
  async onnx(plan: Plan, options: OnnxOptions): Promise<OnnxFile> {
    if (plan.own) throw needsWebGpu(plan.own);
    const checkpoint = await onCpu(await this.checkpoint(plan.weights));
    const { info } = await this.model(splitWeightsId(plan.weights).model);
    const { writeOnnx } = await import('../onnx/write.ts');
    return writeOnnx(checkpoint, plan, options, {
      model: info.name,
      description: info.description,
      license: info.license,
      sha256: info.twins[checkpoint.norm]?.weights.sha256 ?? '',
      version: import.meta.env.APP_VERSION,
    });
  }
}
