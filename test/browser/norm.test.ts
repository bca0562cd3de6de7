// Every member in every form against float64: plain and tuned, f32 and f16, with a residual and without, on a device
// with subgroups and on one without.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adapterName, Gpu } from '../../src/gpu/device.ts';
import type { GpuBuffer, Machine } from '../../src/gpu/device.ts';
import { normKernels } from '../../src/kernel/norm.ts';
import type { NormShape } from '../../src/kernel/norm.ts';
import { bends, isMeasurable, normSpec, thetaLayout } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import type { Params } from '../../src/norm/reference.ts';
import {
  AWKWARD,
  F16_TOLERANCE,
  f16Rounded,
  gaussian,
  NORM_IDS,
  normCases,
  normParams,
  packRows,
  referenceForward,
  SHAPES,
  TOLERANCE,
  TUNED_SHAPES,
  unpackRows,
  worstDeviation,
} from '../cases/norm.ts';
import type { NormCase } from '../cases/norm.ts';
import { compilerOf, runUniform } from './support.ts';

const EPS = 1e-5;
const gpus: Partial<Record<'with' | 'without', Gpu>> = {};
beforeAll(async () => {
  gpus.with = await Gpu.open();
  gpus.without = await Gpu.open(navigator, ['subgroups']);
  console.info(`adapter: ${adapterName(gpus.with.adapter)}, ${JSON.stringify(gpus.with.machine)}`);
});
afterAll(() => {
  for (const gpu of Object.values(gpus)) {
    expect(gpu.liveBuffers).toBe(0);
    gpu[Symbol.dispose]();
  }
});

/** How a kernel is asked for and where it runs. */
type Variant = Pick<NormShape, 'form' | 'dtype' | 'hasResidual'> & {
  readonly device: 'with' | 'without';
  /** Claims smaller and larger subgroups than there are: the kernels for a GPU whose subgroups vary. */
  readonly isVarying?: boolean;
};
const FORMS: readonly Pick<Variant, 'form' | 'device' | 'isVarying'>[] = [
  { form: 'plain', device: 'without' },
  { form: 'tuned', device: 'with' },
  { form: 'tuned', device: 'with', isVarying: true },
  { form: 'tuned', device: 'without' },
];
const VARIANTS: readonly Variant[] = FORMS.flatMap((form) =>
  (['f32', 'f16'] as const).flatMap((dtype) =>
    [false, true].map((hasResidual): Variant => ({ ...form, dtype, hasResidual })),
  ),
);
const variantName = ({ form, dtype, hasResidual, device, isVarying }: Variant): string =>
  [form, dtype, hasResidual && 'with residual', `${device} subgroups`, isVarying && 'that vary']
    .filter(Boolean)
    .join(', ');

function machineOf({ device, isVarying }: Variant): [Gpu, Machine] {
  const gpu = gpus[device];
  if (!gpu) throw new Error('no device');
  const { machine } = gpu;
  if (!isVarying) return [gpu, machine];
  if (!machine.subgroups) throw new Error('this device has no subgroups');
  const { min, max } = machine.subgroups;
  return [gpu, { ...machine, subgroups: { min: min / 2, max: 2 * max } }];
}

function packed(id: NormId, C: number, params: Params): Float32Array {
  const { offsets, P } = thetaLayout(id, C);
  const theta = new Float32Array(P);
  for (const [name, offset] of Object.entries(offsets)) theta.set(Array.from(params[name] ?? []), offset);
  return theta;
}

type Task = { readonly norm: NormCase; readonly params: Params; readonly delta?: Float32Array };
type Answer = { readonly x: Float32Array; readonly y: Float32Array };

/** Runs all tasks in one submission; `isMeasured` takes the statistics of columns first. */
async function forward(
  id: NormId,
  variant: Variant,
  tasks: readonly Task[],
  { isMeasured = false, gridOf = (T: number): number => T } = {},
): Promise<Answer[]> {
  const [gpu, machine] = machineOf(variant);
  const { dtype } = variant;
  const compiler = compilerOf(gpu);
  using owned = new DisposableStack();
  const own = (buffer: GpuBuffer): GpuBuffer => owned.use(buffer);
  const jobs = await Promise.all(
    tasks.map(async ({ norm: { x, T, C }, params, delta }) => {
      const rows = packRows(x, C, dtype);
      const buffers = {
        x: own(gpu.upload('x', 'activations', rows)),
        delta: own(
          gpu.upload('delta', 'activations', packRows(delta ?? new Float32Array(x.length), C, dtype)),
        ),
        theta: own(gpu.upload('theta', 'parameters', packed(id, C, params))),
        y: own(gpu.buffer('y', 'activations', rows.byteLength)),
        run: own(runUniform(gpu, T)),
      };
      const planned = normKernels(id, { ...variant, C, eps: EPS }, isMeasured, machine);
      const steps = planned.map(({ spec, workgroups }) => ({ spec, grid: workgroups(gridOf(T)) }));
      const kernels = await Promise.all(steps.map((step) => compiler.kernel(step.spec)));
      return { T, C, buffers, steps, kernels, sizeBytes: rows.byteLength };
    }),
  );
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const { buffers, steps, kernels } of jobs)
    kernels.forEach((kernel, step) => {
      pass.setPipeline(kernel.pipeline);
      compiler.bind(kernel, buffers).forEach((group, index) => pass.setBindGroup(index, group));
      pass.dispatchWorkgroups(...(steps[step]?.grid ?? [1]));
    });
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  const bytes = await gpu.read(
    jobs.flatMap(({ buffers: { x, y }, sizeBytes }) => [
      { buffer: x, sizeBytes },
      { buffer: y, sizeBytes },
    ]),
  );
  let at = 0;
  return jobs.map(({ C, sizeBytes }) => {
    const [x, y] = [0, 1].map((i) =>
      unpackRows(bytes.slice(at + i * sizeBytes, at + (i + 1) * sizeBytes), C, dtype),
    ) as [Float32Array, Float32Array];
    at += 2 * sizeBytes;
    return { x, y };
  });
}

const toleranceOf = (id: NormId, dtype: Variant['dtype']): { rel: number; abs: number } => {
  const { rel, abs } = TOLERANCE[id];
  return dtype === 'f32' ? { rel, abs } : { rel: rel + F16_TOLERANCE.rel, abs: abs + F16_TOLERANCE.abs };
};

const references = new WeakMap<NormCase, Float64Array>();
function wanted(id: NormId, norm: NormCase, params: Params): Float64Array {
  const want = references.get(norm) ?? referenceForward(id, norm, params, EPS);
  references.set(norm, want);
  return want;
}

/** What is wrong with an answer, in one line a case. */
function complaints(
  id: NormId,
  dtype: Variant['dtype'],
  tasks: readonly Task[],
  answers: readonly Answer[],
  isMeasured = false,
): string[] {
  return tasks.flatMap(({ norm, params }, i) => {
    const { x, y } = answers[i] ?? { x: new Float32Array(), y: new Float32Array() };
    // f16 may be rounded either way: what was stored as x is what the norm has seen.
    const rounding = dtype === 'f32' ? { rel: 0, abs: 0 } : F16_TOLERANCE;
    const moved = worstDeviation(x, Float64Array.from(norm.x), [0], rounding);
    const isExact = x.every((value, at) => value === norm.x[at]);
    const seen = { ...norm, x };
    const own = isMeasured ? normParams(id, seen) : params;
    const want = isExact ? wanted(id, norm, params) : referenceForward(id, seen, own, EPS);
    const worst = worstDeviation(y, want, params['gamma'] ?? [], toleranceOf(id, dtype));
    return [
      ...(moved ? [`${norm.name}: x ${JSON.stringify(moved)}`] : []),
      ...(worst ? [`${norm.name}: y ${JSON.stringify(worst)}`] : []),
    ];
  });
}

type Sum = Task & { readonly given: Float32Array };
const sums = new Map<string, Sum>();
/**
 * Normal values as wide as the variant stores them, made of `given` + `delta` where it has a residual. Statistics of
 * columns that are given are of the sum before it is stored, so there it is one that f16 holds exactly.
 */
function sumOf(id: NormId, { dtype, hasResidual }: Variant, T: number, C: number, isMeasured = false): Sum {
  const key = [id, dtype, hasResidual, T, C, isMeasured].join();
  const known = sums.get(key);
  if (known) return known;
  const next = gaussian(1000 * C + T);
  const stored = dtype === 'f32' ? Math.fround : f16Rounded;
  const isGiven = isMeasurable(id) && !isMeasured;
  const single = isGiven ? (v: number): number => Math.round(64 * v) / 64 : stored;
  const values = (): Float32Array => Float32Array.from({ length: T * C }, () => single(0.3 + next()));
  const given = values();
  const delta = hasResidual ? values() : new Float32Array(T * C);
  const norm: NormCase = { name: `[${T}, ${C}]`, T, C, x: given.map((v, i) => stored(v + (delta[i] ?? 0))) };
  const made = { norm, given, delta, params: normParams(id, norm) };
  sums.set(key, made);
  return made;
}

/** The task without the statistics that a kernel is to take itself. */
const wiped = (id: NormId, task: Task): Task => ({
  ...task,
  params: Object.fromEntries(
    Object.entries(task.params).map(([name, values]) => [
      name,
      normSpec(id).params[name]?.measured ? new Float32Array(values.length) : values,
    ]),
  ),
});

/**
 * How a row is laid out matters to members that look at more of it than a value. One member that does not sees every
 * shape too; the others see a row of each layout: a compilation costs more than a row.
 */
const FEWER = new Set([3, 4, 65, 128, 1024, 8200]);
const wholly = NORM_IDS.find((id) => bends(id));
const shapesOf = (id: NormId): typeof AWKWARD =>
  normSpec(id).over === 'element' && id !== wholly ? AWKWARD.filter(([, C]) => FEWER.has(C)) : AWKWARD;

describe.each(NORM_IDS)('%s', (id) => {
  const isMeasured = isMeasurable(id);
  // Only a sum over a row asks how large a subgroup is.
  const isOwn = ({ isVarying }: Pick<Variant, 'isVarying'>): boolean =>
    !isVarying || normSpec(id).over === 'token';

  it.each(VARIANTS.filter(isOwn).map((variant) => [variantName(variant), variant] as const))(
    'matches float64 on every shape: %s',
    async (_name, variant) => {
      const shapes = shapesOf(id).filter(([, C]) => variant.form === 'plain' || C % 4 === 0);
      const given = (task: Sum): Task => ({ ...task, norm: { ...task.norm, x: task.given } });
      const tasks = shapes.map(([T, C]) => sumOf(id, variant, T, C));
      const inputs = tasks.map(given);
      expect(complaints(id, variant.dtype, tasks, await forward(id, variant, inputs))).toEqual([]);
      if (isMeasured) {
        const sought = shapes.map(([T, C]) => sumOf(id, variant, T, C, true));
        const blind = sought.map((task) => wiped(id, given(task)));
        const answers = await forward(id, variant, blind, { isMeasured });
        expect(complaints(id, variant.dtype, sought, answers, true)).toEqual([]);
      }
      // One row's grid for forty: the rest is walked.
      const some = tasks.filter(({ norm }) => norm.T === 40);
      const few = inputs.filter(({ norm }) => norm.T === 40);
      const walked = await forward(id, variant, few, { gridOf: () => 1 });
      expect(complaints(id, variant.dtype, some, walked)).toEqual([]);
    },
  );

  it.each(
    FORMS.filter(isOwn)
      .map((form): Variant => ({ ...form, dtype: 'f32', hasResidual: false }))
      .map((variant) => [variantName(variant), variant] as const),
  )('matches float64 on inputs that hurt: %s', async (_name, variant) => {
    const cases = normCases(id, variant.form === 'plain' ? SHAPES : TUNED_SHAPES);
    const tasks = cases.map((norm): Task => ({ norm, params: normParams(id, norm) }));
    expect(complaints(id, 'f32', tasks, await forward(id, variant, tasks))).toEqual([]);
    if (!isMeasured) return;
    const blind = tasks.map((task) => wiped(id, task));
    const measured = await forward(id, variant, blind, { isMeasured });
    expect(complaints(id, 'f32', tasks, measured)).toEqual([]);
  });

  it('leaves a constant row exactly at beta in every form, where a row is centred', async () => {
    if (!normSpec(id).line?.isCentred) return;
    for (const form of FORMS) {
      const tasks = TUNED_SHAPES.map(([T, C]): Task => {
        const norm = { name: `[${T}, ${C}]`, T, C, x: new Float32Array(T * C).fill(0.1) };
        return { norm, params: normParams(id, norm) };
      });
      const answers = await forward(id, { ...form, dtype: 'f32', hasResidual: false }, tasks);
      tasks.forEach(({ norm: { T }, params }, i) => {
        const rows = Array.from({ length: T }, () => Array.from(params['beta'] ?? [])).flat();
        expect(Array.from(answers[i]?.y ?? [])).toEqual(rows);
      });
    }
  });
});
