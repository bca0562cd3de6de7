// Backward in WGSL: every member's gradients, and those of a whole model, against central differences.
import { afterAll, describe, expect, it } from 'vitest';
import { fitted as fittedSite } from '../../src/fit/plans.ts';
import { logitsOf, programOf } from '../../src/fit/lab.ts';
import { scalarsAt } from '../../src/fit/solve.ts';
import { Tape } from '../../src/fit/tape.ts';
import { normBackward, scalarNames, thetaBackward } from '../../src/kernel/backward.ts';
import type { Plan } from '../../src/model/plan.ts';
import { randomFrom } from '../../src/model/sample.ts';
import { applyAffine } from '../../src/norm/reference.ts';
import type { Params } from '../../src/norm/reference.ts';
import { bends, NORM_IDS, normSpec, thetaLayout } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { calibration, checkpoint, gpu, lab, model, original, session, sites, WEIGHTS } from './fit-lab.ts';
import { dispatch, readFloats, runUniform } from './support.ts';

afterAll(() => session[Symbol.dispose]());

const random = randomFrom(5);
const uniform = (count: number, reach: number): Float32Array =>
  Float32Array.from({ length: count }, () => reach * (2 * random() - 1));

describe.each(NORM_IDS)('backward of %s', (id) => {
  it('is that of central differences in float64', async () => {
    const [T, C, eps] = [7, 37, 1e-5];
    const { params, reference } = normSpec(id);
    const { offsets, P } = thetaLayout(id, C);
    const theta = uniform(P, 1);
    for (const [name, param] of Object.entries(params)) {
      const at = offsets[name] ?? 0;
      if (param.size === 1) theta[at] = name === 'shift' ? 0.2 : 0.7;
      if (param.measured) theta.fill(param.measured === 'variance' ? 1.7 : 0, at, at + C);
    }
    const [x, dy, before] = [uniform(T * C, 2.5), uniform(T * C, 1), uniform(T * C, 1)];
    // Statistics over tokens are held: in float64 they are given, as BatchNorm's are.
    const held =
      reference === normSpec('instancenorm').reference ? normSpec('batchnorm').reference : reference;
    const loss = (values: ArrayLike<number>, at: ArrayLike<number>): number => {
      const of = (name: string): number[] => {
        const begin = offsets[name] ?? 0;
        return Array.from(at).slice(begin, begin + (params[name]?.size === 'C' ? C : 1));
      };
      const own: Params = Object.fromEntries(Object.keys(params).map((name) => [name, of(name)]));
      const given =
        id === 'instancenorm'
          ? { ...own, running_mean: own['mean'] ?? [], running_var: own['variance'] ?? [] }
          : own;
      const y = applyAffine(held.core(Float64Array.from(values), C, given, eps), C, own);
      return y.reduce((sum, value, i) => sum + value * (dy[i] ?? 0), 0);
    };
    const slope = (of: (moved: Float64Array) => number, from: Float32Array, i: number): number => {
      const [up, down] = [Float64Array.from(from), Float64Array.from(from)];
      const h = 1e-5;
      up[i] = (up[i] ?? 0) + h;
      down[i] = (down[i] ?? 0) - h;
      return (of(up) - of(down)) / (2 * h);
    };
    const buffers = {
      x: gpu.upload('x', 'activations', x),
      theta: gpu.upload('theta', 'parameters', theta),
      dy: gpu.upload('dy', 'activations', dy),
      dx: gpu.upload('dx', 'activations', before),
      taken: gpu.buffer('taken', 'activations', 4 * T * C),
      shares: gpu.buffer('shares', 'activations', 8 * T),
      dtheta: gpu.buffer('dtheta', 'activations', 4 * P),
      run: runUniform(gpu, T),
    };
    for (const { spec, workgroups } of [normBackward(id, C, eps, true, gpu.machine), thetaBackward(id, C)])
      await dispatch(gpu, spec, buffers, workgroups(T));
    const [dx, dtheta] = [await readFloats(gpu, buffers.dx, T * C), await readFloats(gpu, buffers.dtheta, P)];
    for (const buffer of Object.values(buffers)) buffer[Symbol.dispose]();
    dx.forEach((value, i) => {
      const want = (before[i] ?? 0) + slope((moved) => loss(moved, theta), x, i);
      expect(Math.abs(value - want), `dx ${i}`).toBeLessThan(2e-5 * Math.max(1, Math.abs(want)));
    });
    for (const [name, param] of Object.entries(params)) {
      if (param.measured) continue;
      const at = offsets[name] ?? 0;
      for (let i = at; i < at + (param.size === 'C' ? C : 1); i++) {
        const want = slope((moved) => loss(x, moved), theta, i);
        expect(Math.abs((dtheta[i] ?? 0) - want), `${name} ${i - at}`).toBeLessThan(
          1e-4 * Math.max(1, Math.abs(want)),
        );
      }
    }
  });
});

/** Members by turns, with gains that suit no site and others for the first token: every backward is in it. */
const MIXED: Plan = {
  weights: WEIGHTS,
  sites: Object.fromEntries(
    sites.map(({ id }, i) => {
      const members: readonly NormId[] = NORM_IDS.filter(
        (norm) => normSpec(norm).over !== 'channel' && (bends(norm) || normSpec(norm).line),
      );
      const norm = members[i % members.length] ?? checkpoint.norm;
      const values = bends(norm) ? scalarsAt(norm, 0.3 + 0.05 * i, { shift: [0.1] }) : {};
      const own = bends(norm) && i % 2 ? scalarsAt(norm, 0.9 - 0.05 * i, { shift: [-0.2] }) : undefined;
      return [id, fittedSite(norm, values, own)];
    }),
  ),
};

it('a tape predicts what the program predicts, and its gradients are those of central differences', async () => {
  const tokens = calibration[0]?.slice(0, 21) ?? [];
  const T = tokens.length;
  using teacher = await programOf(lab, model, original);
  const wanted = await logitsOf(lab, model, teacher, tokens);
  using same = await Tape.build(lab, model, original, T);
  expect((await same.step(tokens, wanted)).loss).toBeLessThan(1e-6);
  using tape = await Tape.build(lab, model, MIXED, T);
  const { gradients } = await tape.step(tokens, wanted);
  const C = checkpoint.model.dims.C;
  for (const { id } of sites) {
    const gradient = gradients.get(id) ?? new Float32Array();
    const length = Math.hypot(...gradient);
    expect(length).toBeGreaterThan(0);
    const { norm, values = {}, first = {} } = MIXED.sites[id] ?? { norm: checkpoint.norm };
    const { offsets, P } = thetaLayout(norm, C);
    const start = new Float32Array(gradient.length);
    for (const name of Object.keys(normSpec(norm).params)) {
      const own =
        name === 'gamma'
          ? model.weights.values(`${id}.weight`)
          : name === 'beta'
            ? model.weights.values(`${id}.bias`)
            : values[name];
      start.set(Array.from(own ?? []), offsets[name] ?? 0);
    }
    scalarNames(norm).forEach((name, s) => first[name] && start.set(first[name], P + s));
    const lossAt = async (h: number): Promise<number> => {
      tape.write(
        id,
        start.map((value, i) => value + (h * (gradient[i] ?? 0)) / length),
      );
      return (await tape.step(tokens, wanted)).loss;
    };
    const h = 4e-3;
    const slope = ((await lossAt(h)) - (await lossAt(-h))) / (2 * h);
    expect(Math.abs(slope / length - 1), `${id} ${norm}: ${slope} for ${length}`).toBeLessThan(0.02);
    tape.write(id, start);
  }
});
