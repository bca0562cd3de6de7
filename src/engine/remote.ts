// The page's end of the protocol: an Engine like any other, whose work happens elsewhere.
import { Problem, problemFrom } from '../problem.ts';
import type { Engine } from './api.ts';
import type { Command, Method, Port, Reply } from './protocol.ts';

type Options = { readonly signal?: AbortSignal | undefined };
type Callback = (...args: never[]) => void;
type Pending = {
  readonly resolve: (value: never) => void;
  readonly reject: (reason: unknown) => void;
  readonly callbacks: Readonly<Record<string, Callback>>;
};
type Result<M extends Method> = Awaited<ReturnType<Engine[M]>>;

export class RemoteEngine implements Engine {
  readonly #port: Port<Command, Reply>;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #failure: Problem | undefined;

  constructor(port: Port<Command, Reply>) {
    this.#port = port;
    port.addEventListener('message', ({ data }) => this.#receive(data));
  }

  /** Rejects everything under way and everything to come: the other end is gone. */
  fail(reason: string): void {
    this.#failure = new Problem(
      'unexpected',
      `Cannot go on: the engine's worker stopped (${reason})`,
      'Reload the page.',
    );
    for (const { reject } of this.#pending.values()) reject(this.#failure);
    this.#pending.clear();
  }

  environment: Engine['environment'] = () => this.#call('environment', []);
  model: Engine['model'] = (id) => this.#call('model', [id]);
  load: Engine['load'] = (weights, options) => this.#call('load', [weights], options);
  survey: Engine['survey'] = (what, options) => this.#call('survey', [what], options);
  open: Engine['open'] = (what, options) => this.#call('open', [what], options);
  close: Engine['close'] = (weights) => this.#call('close', [weights]);
  kept: Engine['kept'] = () => this.#call('kept', []);
  deleteKept: Engine['deleteKept'] = (ids) => this.#call('deleteKept', [ids]);
  tokenize: Engine['tokenize'] = (model, text) => this.#call('tokenize', [model, text]);
  run: Engine['run'] = (plan, tokens, options) => this.#call('run', [plan, tokens], options);
  inspect: Engine['inspect'] = (plan, tokens, sites, options) =>
    this.#call('inspect', [plan, tokens, sites], options);
  lens: Engine['lens'] = (plan, tokens, position, options) =>
    this.#call('lens', [plan, tokens, position], options);
  generate: Engine['generate'] = (plan, tokens, sampling, options) =>
    this.#call('generate', [plan, tokens, sampling], options);
  measure: Engine['measure'] = (plan, tokens, spec, options) =>
    this.#call('measure', [plan, tokens, spec], options);
  exportOnnx: Engine['exportOnnx'] = (plan, options) => this.#call('exportOnnx', [plan, options]);
  judge: Engine['judge'] = (plan, tokens, options) => this.#call('judge', [plan, tokens], options);
  compare: Engine['compare'] = (plan, tokens, spec, options) =>
    this.#call('compare', [plan, tokens, spec], options);
  part: Engine['part'] = (a, b, tokens, options) => this.#call('part', [a, b, tokens], options);
  bench: Engine['bench'] = (spec, options) => this.#call('bench', [spec], options);
  openOnnx: Engine['openOnnx'] = (files) => this.#call('openOnnx', [files]);
  runOnnx: Engine['runOnnx'] = (id, request, options) => this.#call('runOnnx', [id, request], options);
  exportOnnxFile: Engine['exportOnnxFile'] = (id, swaps) => this.#call('exportOnnxFile', [id, swaps]);
  convert: Engine['convert'] = (plan, heldOutLoss) => this.#call('convert', [plan, heldOutLoss]);
  fit: Engine['fit'] = (spec, options) => this.#call('fit', [spec], options);
  checkNorm: Engine['checkNorm'] = (plan, own, options) => this.#call('checkNorm', [plan, own], options);
  timeNorm: Engine['timeNorm'] = (own, shape, options) => this.#call('timeNorm', [own, shape], options);
  lost: Engine['lost'] = () => this.#call('lost', []);
  loseDevice: Engine['loseDevice'] = () => this.#call('loseDevice', []);
  dispose: Engine['dispose'] = () => this.#call('dispose', []);

  #call<M extends Method>(method: M, args: readonly unknown[], options: Options = {}): Promise<Result<M>> {
    const { signal, ...rest } = options;
    if (this.#failure) return Promise.reject(this.#failure);
    if (signal?.aborted) return Promise.reject(new DOMException('Aborted', 'AbortError'));
    const id = ++this.#lastId;
    const callbacks: Record<string, Callback> = {};
    const plain: Record<string, unknown> = {};
    for (const [name, value] of Object.entries<unknown>(rest)) {
      if (typeof value === 'function') callbacks[name] = value as Callback;
      else plain[name] = value;
    }
    signal?.addEventListener('abort', () => {
      if (this.#pending.has(id)) this.#port.postMessage({ type: 'abort', id });
    });
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, callbacks });
      this.#port.postMessage({
        type: 'call',
        id,
        method,
        args: [...args, plain],
        callbacks: Object.keys(callbacks),
      });
    });
  }

  #receive(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    if (!pending) return; // an answer after fail()
    if (reply.type === 'callback') {
      pending.callbacks[reply.name]?.(...(reply.args as never[]));
      return;
    }
    this.#pending.delete(reply.id);
    if (reply.type === 'result') pending.resolve(reply.value as never);
    else if (reply.type === 'aborted') pending.reject(new DOMException('Aborted', 'AbortError'));
    else pending.reject(problemFrom(reply.problem));
  }
}
