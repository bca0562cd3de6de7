// The engine the page speaks to: our WGSL where there is a GPU, onnxruntime on the processor where there is none.
import { Problem, problemData } from '../problem.ts';
import type { ProblemCode, ProblemData } from '../problem.ts';
import type { Engine } from './api.ts';
import { Library } from './library.ts';
import { WgslEngine } from './wgsl.ts';

/** There is no GPU to be had: anything else is worth trying again. */
const NO_GPU = new Set<ProblemCode>(['no-webgpu', 'no-adapter', 'limits-too-small', 'no-device']);

export class AnyEngine implements Engine {
  readonly #library: Library;
  #chosen: Promise<{ engine: Engine; reason?: ProblemData }> | undefined;

  /** `modelsUrl`: the folder that holds a folder a model, with a closing slash. */
  constructor(modelsUrl: URL) {
    this.#library = new Library(modelsUrl);
  }

  async #choose(): Promise<{ engine: Engine; reason?: ProblemData }> {
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

  async #engine(): Promise<Engine> {
    this.#chosen ??= this.#choose();
    try {
      return (await this.#chosen).engine;
    } catch (thrown) {
      this.#chosen = undefined;
      throw thrown;
    }
  }

  environment: Engine['environment'] = async () => {
    const environment = await (await this.#engine()).environment();
    const reason = (await this.#chosen)?.reason;
    return { ...environment, ...(reason ? { fallbackReason: reason } : {}) };
  };
  model: Engine['model'] = async (id) => (await this.#library.model(id)).info;
  tokenize: Engine['tokenize'] = (model, text) => this.#library.tokenize(model, text);
  load: Engine['load'] = async (...args) => (await this.#engine()).load(...args);
  run: Engine['run'] = async (...args) => (await this.#engine()).run(...args);
  generate: Engine['generate'] = async (...args) => (await this.#engine()).generate(...args);
  measure: Engine['measure'] = async (...args) => (await this.#engine()).measure(...args);
  exportOnnx: Engine['exportOnnx'] = async (...args) => (await this.#engine()).exportOnnx(...args);
  judge: Engine['judge'] = async (...args) => (await this.#engine()).judge(...args);
  compare: Engine['compare'] = async (...args) => (await this.#engine()).compare(...args);
  bench: Engine['bench'] = async (...args) => (await this.#engine()).bench(...args);
  fit: Engine['fit'] = async (...args) => (await this.#engine()).fit(...args);
  lost: Engine['lost'] = async () => (await this.#engine()).lost();
  loseDevice: Engine['loseDevice'] = async () => (await this.#engine()).loseDevice();
  dispose: Engine['dispose'] = async () => (await this.#engine()).dispose();
}
