// Held-out losses of the layernorm twin with dyt at all 13 sites, on all 16 windows, against those of a float64 sketch.
import { afterAll, expect, it } from 'vitest';
import { Fitting } from '../../src/fit/fit.ts';
import { measure } from '../../src/fit/measure.ts';
import { fitAll } from '../../src/fit/spec.ts';
import type { Method } from '../../src/fit/spec.ts';
import { calibration, heldOut, ids, lab, model, session, WEIGHTS } from './fit-lab.ts';

afterAll(() => session[Symbol.dispose]());

/** What a float64 sketch reached. Least squares and fine-tuning: `npm run normscope -- fits`, minutes too many for here. */
const SKETCH = [
  ['clip', 4.036],
  ['sequential', 3.761],
] as const satisfies readonly (readonly [Method, number])[];

it('fits lose less than those of the sketch', { timeout: 600_000 }, async () => {
  const fits: Fitting[] = [];
  for (const [method] of SKETCH) {
    const spec = { ...fitAll(WEIGHTS, ids, 'dyt', method), kappas: [4] };
    const work = new Fitting(spec, lab, model, { calibration, heldOut }, {});
    await work.fit();
    fits.push(work);
  }
  const [first] = fits;
  if (!first) throw new Error('there is none');
  const plans = fits.map(({ plan }) => plan);
  const [original, ...got] = await measure(lab, model, first.original, plans, heldOut, () => undefined);
  expect(original?.loss).toBeCloseTo(3.439, 2);
  expect(original).toMatchObject({ kl: 0, top1: 1 });
  SKETCH.forEach(([method, want], i) => {
    const { loss = Number.NaN, kl = 0, top1 = 0 } = got[i] ?? {};
    console.info(
      `${method}: ${loss.toFixed(4)}, sketch ${want}, KL ${kl.toFixed(4)}, top-1 ${top1.toFixed(4)}`,
    );
    expect(loss, method).toBeLessThan(want - 0.05);
    expect(loss, method).toBeGreaterThan(3.6); // none of the two comes nearer
  });
  expect(first.kappa).toBe(4);
});
