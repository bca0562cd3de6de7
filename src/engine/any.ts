// The engine the page speaks to: our WGSL where there is a GPU, onnxruntime on the processor where there is none.
import { FileCache } from '../format/cache.ts';
import { Problem, problemData } from '../problem.ts';
import type { ProblemCode, ProblemData } from '../problem.ts';
import type { Engine, ForwardEngine } from './api.ts';
import { Library } from './library.ts';
import type { OnnxFiles } from './onnx-file.ts';
import { WgslEngine } from './wgsl.ts';

/** There is no GPU to be had: anything else is worth trying again. */
const NO_GPU = new Set<ProblemCode>(['no-webgpu', 'no-adapter', 'limits-too-small', 'no-device']);

export class AnyEngine implements Engine {
  readonly #library: Library;
  #onnxFiles: Promise<OnnxFiles> | undefined;
  #chosen: Promise<{ engine: ForwardEngine; reason?: ProblemData }> | undefined;

  /** `modelsUrl`: the folder that holds a folder a model, with a closing slash. */
  constructor(modelsUrl: URL) {
    this.#library = new Library(modelsUrl);
  }

  async #choose(): Promise<{ engine: ForwardEngine; reason?: ProblemData }> {
    const wgsl = new WgslEngine(this.#library);
    try {
      await wgsl.environment();
      return { engine: wgsl };
    } catch (thrown) {
      if (!(thrown instanceof Problem) || !NO_GPU.has(thrown.code)) throw thrown;
      const { OrtEngine } = await import('./ort.ts');
      return { engine: new OrtEngine(this.#library), reason: problemData(thrown) };
    }
  }

  async #engine(): Promise<ForwardEngine> {
    this.#chosen ??= this.#choose();
    try {
      return (await this.#chosen).engine;
    } catch (thrown) {
      this.#chosen = undefined;
      throw thrown;
    }
  }

  /** Dropped files need no GPU, and their code is fetched when the first one comes. */
  #files(): Promise<OnnxFiles> {
    this.#onnxFiles ??= import('./onnx-file.ts').then(({ OnnxFiles: Files }) => new Files());
    return this.#onnxFiles;
  }

  environment: Engine['environment'] = async () => {
    const environment = await (await this.#engine()).environment();
    const reason = (await this.#chosen)?.reason;
    return { ...environment, ...(reason ? { fallbackReason: reason } : {}) };
  };
  model: Engine['model'] = async (id) => (await this.#library.model(id)).info;
  tokenize: Engine['tokenize'] = (model, text) => this.#library.tokenize(model, text);
  load: Engine['load'] = async (...args) => (await this.#engine()).load(...args);
  survey: Engine['survey'] = async (...args) => (await this.#engine()).survey(...args);
  open: Engine['open'] = async (...args) => (await this.#engine()).open(...args);
  close: Engine['close'] = async (...args) => (await this.#engine()).close(...args);
  kept: Engine['kept'] = async () => {
    const cache = await FileCache.open();
    return { files: await cache.list(), room: await cache.room() };
  };
  deleteKept: Engine['deleteKept'] = async (ids) => {
    const cache = await FileCache.open();
    for (const id of ids) await cache.delete(id);
    return this.kept();
  };
  run: Engine['run'] = async (...args) => (await this.#engine()).run(...args);
  inspect: Engine['inspect'] = async (...args) => (await this.#engine()).inspect(...args);
  lens: Engine['lens'] = async (...args) => (await this.#engine()).lens(...args);
  generate: Engine['generate'] = async (...args) => (await this.#engine()).generate(...args);
  measure: Engine['measure'] = async (...args) => (await this.#engine()).measure(...args);
  exportOnnx: Engine['exportOnnx'] = async (...args) => (await this.#engine()).exportOnnx(...args);
  judge: Engine['judge'] = async (...args) => (await this.#engine()).judge(...args);
  compare: Engine['compare'] = async (...args) => (await this.#engine()).compare(...args);
  part: Engine['part'] = async (...args) => (await this.#engine()).part(...args);
  convert: Engine['convert'] = (plan, heldOutLoss) => this.#library.converted(plan, heldOutLoss);
  bench: Engine['bench'] = async (...args) => (await this.#engine()).bench(...args);
  openOnnx: Engine['openOnnx'] = async (files) => (await this.#files()).openOnnx(files);
  runOnnx: Engine['runOnnx'] = async (...args) => (await this.#files()).runOnnx(...args);
  exportOnnxFile: Engine['exportOnnxFile'] = async (...args) => (await this.#files()).exportOnnxFile(...args);
  fit: Engine['fit'] = async (...args) => (await this.#engine()).fit(...args);
  checkNorm: Engine['checkNorm'] = async (...args) => (await this.#engine()).checkNorm(...args);
  timeNorm: Engine['timeNorm'] = async (...args) => (await this.#engine()).timeNorm(...args);
  lost: Engine['lost'] = async () => (await this.#engine()).lost();
  loseDevice: Engine['loseDevice'] = async () => (await this.#engine()).loseDevice();
  dispose: Engine['dispose'] = async () => (await this.#engine()).dispose();
}
