// Backward in WGSL: every member's gradients, and those of a whole model, against central differences.
import { afterAll, describe, expect, it } from 'vitest';
import { openInto } from '../../src/engine/opened.ts';
import { fitted as fittedSite, originalPlan } from '../../src/fit/plans.ts';
import { logitsOf, programOf, thetaAt } from '../../src/fit/lab.ts';
import type { Model } from '../../src/fit/lab.ts';
import { scalarsAt } from '../../src/fit/solve.ts';
import { Tape } from '../../src/fit/tape.ts';
import { normBackward, scalarNames, thetaBackward } from '../../src/kernel/backward.ts';
import { sitesOf } from '../../src/model/model.ts';
import type { Plan } from '../../src/model/plan.ts';
import { randomFrom } from '../../src/model/sample.ts';
import { Weights } from '../../src/model/weights.ts';
import { applyAffine } from '../../src/norm/reference.ts';
import type { Params } from '../../src/norm/reference.ts';
import { bends, NORM_IDS, normSpec, thetaLayout } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { calibration, gpu, lab, library, model, session } from './fit-lab.ts';
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
const mixed = (of: Model): Plan => ({
  weights: of.id,
  sites: Object.fromEntries(
    sitesOf(of.checkpoint).map(({ id }, i) => {
      const members: readonly NormId[] = NORM_IDS.filter(
        (norm) => normSpec(norm).over !== 'channel' && (bends(norm) || normSpec(norm).line),
      );
      const norm = members[i % members.length] ?? of.checkpoint.norm;
      const values = bends(norm) ? scalarsAt(norm, 0.3 + 0.05 * i, { shift: [0.1] }) : {};
      const own = bends(norm) && i % 2 ? scalarsAt(norm, 0.9 - 0.05 * i, { shift: [-0.2] }) : undefined;
      return [id, fittedSite(norm, values, own)];
    }),
  ),
});

const FILES = import.meta.glob<string>(
  ['../golden-hf/{gpt2,llama-gqa,llama3-rope-scaled-bf16-tied,qwen2-f16}/{config.json,*.safetensors}'],
  { eager: true, import: 'default', query: '?url' },
);

/** A golden checkpoint of the transformers library on the device. */
async function opened(name: string): Promise<Model> {
  const files = await Promise.all(
    Object.entries(FILES)
      .filter(([path]) => path.split('/')[2] === name)
      .map(async ([path, url]) => ({ path, file: await (await fetch(url)).blob() })),
  );
  let weights: Weights | undefined;
  const { loaded } = await openInto(library, { files }, 2 ** 28, async (found) => {
    weights = await Weights.load(gpu, found);
    return async () => undefined;
  });
  const found = await library.checkpoint(loaded.weights);
  if (!weights) throw new Error('nothing was put on the device');
  return {
    id: loaded.weights,
    checkpoint: found,
    sha256: loaded.sha256,
    weights,
    space: session.space(found),
  };
}

// The twin; learned positions and a tied head; shared keys and a gate; the same with scaled turns; with biases of qkv.
const MODELS: readonly (readonly [string, () => Promise<Model>])[] = [
  ['the twin', () => Promise.resolve(model)],
  ...['gpt2', 'llama-gqa', 'llama3-rope-scaled-bf16-tied', 'qwen2-f16'].map(
    (name) => [name, () => opened(name)] as const,
  ),
];

it.each(MODELS)(
  'a tape of %s predicts what the program predicts, and its gradients are those of central differences',
  async (_name, open) => {
    const at = await open();
    const { model: described, vocabSize } = at.checkpoint;
    const tokens = (calibration[0] ?? []).slice(0, 21).map((id) => id % vocabSize);
    const T = tokens.length;
    const native = originalPlan(at.id, at.checkpoint.norm, sitesOf(at.checkpoint));
    const plan = mixed(at);
    using teacher = await programOf(lab, at, native);
    const wanted = await logitsOf(lab, at, teacher, tokens);
    using same = await Tape.build(lab, at, native, T);
    expect((await same.step(tokens, wanted)).loss).toBeLessThan(1e-6);
    using tape = await Tape.build(lab, at, plan, T);
    const { gradients } = await tape.step(tokens, wanted);
    const { C } = described.dims;
    for (const { id } of sitesOf(at.checkpoint)) {
      const gradient = gradients.get(id) ?? new Float32Array();
      const length = Math.hypot(...gradient);
      expect(length).toBeGreaterThan(0);
      const { values, first, norm } = thetaAt(at, plan, id);
      const start = new Float32Array(gradient.length);
      start.set(values);
      if (first) start.set(first.subarray(thetaLayout(norm, C).P - scalarNames(norm).length), values.length);
      const lossAt = async (h: number): Promise<number> => {
        tape.write(
          id,
          start.map((value, i) => value + (h * (gradient[i] ?? 0)) / length),
        );
        return (await tape.step(tokens, wanted)).loss;
      };
      // Far enough that the change stands out of what f32 rounds away.
      const h = 4e-3 * Math.max(1, 2e-3 / length);
      const slope = ((await lossAt(h)) - (await lossAt(-h))) / (2 * h);
      expect(Math.abs(slope / length - 1), `${id} ${norm}: ${slope} for ${length}`).toBeLessThan(0.02);
      tape.write(id, start);
    }
  },
);
