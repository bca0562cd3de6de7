// Held-out losses of the layernorm twin with dyt at all 13 sites, on all 16 windows, against those of a float64 sketch.
import { afterAll, expect, it } from 'vitest';
import { Library } from '../../src/engine/library.ts';
import { Session } from '../../src/engine/device-session.ts';
import { Fitting } from '../../src/fit/fit.ts';
import type { Model } from '../../src/fit/lab.ts';
import { measure } from '../../src/fit/measure.ts';
import { fitAll } from '../../src/fit/spec.ts';
import type { Plan } from '../../src/model/plan.ts';
import { sitesOf } from '../../src/model/model.ts';
import { Weights } from '../../src/model/weights.ts';
import { openGpu } from './support.ts';

const gpu = await openGpu();
const session = new Session(gpu);
const library = new Library(new URL('/models/', location.href));
const WEIGHTS = 'fairy-tale-gpt/layernorm';
afterAll(() => session[Symbol.dispose]());

const checkpoint = await library.checkpoint(WEIGHTS);
const model: Model = {
  id: WEIGHTS,
  checkpoint,
  weights: new Weights(gpu, checkpoint),
  space: session.space(checkpoint),
};
const lab = { gpu, compiler: session.compiler, tuning: null, model: () => Promise.resolve(model) };
const calibration = (await library.windows('fairy-tale-gpt', 'calibration')) ?? [];
const heldOut = (await library.windows('fairy-tale-gpt', 'heldOut')) ?? [];
const sites = sitesOf(checkpoint).map(({ id }) => id);
const work = new Fitting(
  fitAll(WEIGHTS, sites, 'dyt', 'sequential'),
  lab,
  model,
  { calibration, heldOut },
  {},
);

/** By their fits: what a sketch reached. */
type Wanted = Readonly<Record<string, readonly [fit: () => Promise<void>, loss: number]>>;

// The slower methods are run by `npm run normscope -- fit`: their minutes are too many for every change.
it.each<[string, Wanted]>([['clip', { 'κ = 4': [() => work.clip([4]), 4.036] }]])(
  '%s reaches the losses of the sketch',
  { timeout: 600_000 },
  async (_name, wanted) => {
    const plans: Plan[] = [];
    for (const [fit] of Object.values(wanted)) {
      await fit();
      plans.push(work.plan);
    }
    const [original, ...got] = await measure(lab, model, work.original, plans, heldOut, () => undefined);
    expect(original?.loss).toBeCloseTo(3.439, 2);
    expect(original).toMatchObject({ kl: 0, top1: 1 });
    Object.entries(wanted).forEach(([name, [, want]], i) => {
      const { loss = Number.NaN, kl = 0, top1 = 0 } = got[i] ?? {};
      console.info(
        `${name}: ${loss.toFixed(4)}, sketch ${want}, KL ${kl.toFixed(4)}, top-1 ${top1.toFixed(4)}`,
      );
      expect(Math.abs(loss - want), name).toBeLessThan(0.03);
    });
  },
);
