// Fine-tuning: gradient descent on the parameters of some sites' norms, so that the model predicts what the original
// does. Nothing else of the model moves.
import { scalarNames } from '../kernel/backward.ts';
import type { Plan, SitePlan, Theta } from '../model/plan.ts';
import { randomFrom } from '../model/sample.ts';
import { normSpec, thetaLayout } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { logitsOf, programOf, thetaAt } from './lab.ts';
import type { Lab, Model } from './lab.ts';
import { fitted } from './plans.ts';
import { Tape } from './tape.ts';
import type { Tune, Window } from './spec.ts';

/** Logits of the original that are kept on the CPU rather than computed anew. */
const KEPT_BYTES = 512 * 2 ** 20;
const [BETA_1, BETA_2, EPSILON] = [0.9, 0.99, 1e-8];

/**
 * Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1) on numbers of any size: those that a member has one of and must
 * stay positive (α, b) move in logarithms; γ and β in units of their own mean size at the start.
 */
export class SiteAdam {
  readonly norm: NormId;
  /** [P] as they run, and behind them the first token's scalars where they are its own. */
  readonly theta: Float32Array;
  readonly #C: number;
  readonly #P: number;
  readonly #values: Float64Array;
  readonly #scale: Float64Array;
  readonly #first: Float64Array;
  readonly #second: Float64Array;
  readonly #isInLogs: Uint8Array;
  readonly #isFree: Uint8Array;

  constructor({ norm, values, first }: Theta, C: number) {
    this.norm = norm;
    this.#C = C;
    const { params, gain } = normSpec(norm);
    const { offsets, P } = thetaLayout(norm, C);
    const own = first ? first.subarray(P - scalarNames(norm).length) : new Float32Array();
    const theta = (this.theta = Float32Array.of(...values, ...own));
    const n = theta.length;
    this.#P = P;
    this.#values = Float64Array.from(theta);
    [this.#first, this.#second] = [new Float64Array(n), new Float64Array(n)];
    this.#scale = new Float64Array(n).fill(1);
    this.#isFree = new Uint8Array(n).fill(1, P);
    this.#isInLogs = new Uint8Array(n);
    const gainAt = gain ? (offsets[gain.param] ?? n) : n;
    for (const at of [gainAt, gainAt + own.length])
      if ((theta[at] ?? 0) > 0) {
        this.#isInLogs[at] = 1;
        this.#values[at] = Math.log(theta[at] ?? 1);
      }
    const gammaAt = offsets['gamma'] ?? 0;
    const gamma = theta.subarray(gammaAt, gammaAt + C);
    const size = Math.sqrt(gamma.reduce((sum, value) => sum + (value * value) / C, 0)) || 1;
    for (const [name, param] of Object.entries(params)) {
      if (param.measured) continue; // statistics are not learnt
      const at = offsets[name] ?? 0;
      const count = param.size === 'C' ? C : 1;
      this.#isFree.fill(1, at, at + count);
      if (param.size === 'C') this.#scale.fill(size, at, at + count);
    }
  }

  /** One step along `gradient`, as long as theta; `step` counts from 1. */
  move(gradient: Float32Array, rate: number, step: number): void {
    for (let i = 0; i < this.theta.length; i++) {
      if (!this.#isFree[i]) continue;
      const isInLogs = this.#isInLogs[i] === 1;
      const scale = isInLogs ? (this.theta[i] ?? 1) : (this.#scale[i] ?? 1);
      const g = (gradient[i] ?? 0) * scale;
      const first = (this.#first[i] = BETA_1 * (this.#first[i] ?? 0) + (1 - BETA_1) * g);
      const second = (this.#second[i] = BETA_2 * (this.#second[i] ?? 0) + (1 - BETA_2) * g * g);
      const move =
        (rate * (first / (1 - BETA_1 ** step))) / (Math.sqrt(second / (1 - BETA_2 ** step)) + EPSILON);
      const value = (this.#values[i] = (this.#values[i] ?? 0) - move * (isInLogs ? 1 : scale));
      this.theta[i] = isInLogs ? Math.exp(value) : value;
    }
  }

  /** What stands at the site now. */
  plan(): SitePlan {
    const { offsets } = thetaLayout(this.norm, this.#C);
    const values = Object.entries(normSpec(this.norm).params).map(([name, { size }]) => {
      const at = offsets[name] ?? 0;
      return [name, Array.from(this.theta.subarray(at, at + (size === 'C' ? this.#C : 1)))] as const;
    });
    const own = this.theta.subarray(this.#P);
    const first = scalarNames(this.norm).map((name, i) => [name, [own[i] ?? 0]] as const);
    return fitted(this.norm, Object.fromEntries(values), own.length ? Object.fromEntries(first) : undefined);
  }
}

/**
 * From `learningRate` to 0 along a half cosine, Loshchilov & Hutter 2017, after a rise over the first steps since `begin`,
 * where the moments start anew.
 */
export const rateAt = (step: number, { steps, learningRate }: Tune, begin = 0): number =>
  learningRate * Math.min(1, (step - begin + 1) / 10) * 0.5 * (1 + Math.cos((Math.PI * step) / steps));

/** Passages of one length, of at most `longest` tokens, that leave as few tokens over as they can. */
export function passagesOf(windows: readonly Window[], longest: number): Window[] {
  const length = windows[0]?.length ?? 0;
  const parts = Math.min(Math.ceil(length / longest), Math.floor(length / 2));
  const T = Math.floor(length / parts);
  return windows.flatMap((passage) =>
    Array.from({ length: parts }, (_, i) => passage.slice(T * i, T * (i + 1))),
  );
}

/** Each passage once, in another order every time round. */
function* shuffled(count: number, seed: number): Generator<number> {
  const random = randomFrom(seed);
  for (;;) {
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
    }
    yield* order;
  }
}

/**
 * `plan` with the parameters of `sites` moved, from step `begin` on; tells after every step, and stops where that throws.
 */
export async function fineTune(
  lab: Lab,
  model: Model,
  original: Plan,
  plan: Plan,
  sites: readonly string[],
  windows: readonly Window[],
  spec: Tune,
  begin: number,
  onStep: (loss: number, plan: Plan) => void,
): Promise<Plan> {
  const { C, V } = model.checkpoint.model.dims;
  const passages = passagesOf(windows, spec.windowTokens);
  const T = passages[0]?.length ?? 0;
  const movers = new Map(
    sites.map((site) => {
      return [site, new SiteAdam(thetaAt(model, plan, site), C)];
    }),
  );
  const current = (): Plan => ({
    ...plan,
    sites: { ...plan.sites, ...Object.fromEntries([...movers].map(([site, mover]) => [site, mover.plan()])) },
  });
  using teacher = await programOf(lab, model, original);
  using tape = await Tape.build(lab, model, plan, T);
  const kept = new Map<number, Float32Array>();
  const order = shuffled(passages.length, spec.seed);
  for (let step = 0; step < spec.steps; step++) {
    const index = order.next().value ?? 0;
    if (step < begin) continue;
    const tokens = passages[index] ?? [];
    const wanted = kept.get(index) ?? (await logitsOf(lab, model, teacher, tokens));
    if (4 * T * V * (kept.size + 1) <= KEPT_BYTES) kept.set(index, wanted);
    const { loss, gradients } = await tape.step(tokens, wanted);
    const rate = rateAt(step, spec, begin);
    for (const [site, mover] of movers) {
      mover.move(gradients.get(site) ?? new Float32Array(), rate, step - begin + 1);
      tape.write(site, mover.theta);
    }
    onStep(loss, current());
  }
  return current();
}
