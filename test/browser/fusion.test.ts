// Fused programs against the unfused one: every member, natively and swapped in, prefill and decode; what they
// dispatch, move and allocate; and the tuner on a real device.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Library } from '../../src/engine/library.ts';
import { adapterName } from '../../src/gpu/device.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { isMatmulId } from '../../src/kernel/matmul.ts';
import type { MatmulId } from '../../src/kernel/matmul.ts';
import { candidates, matmulSources, productKey, tuneProgram } from '../../src/kernel/tune.ts';
import type { Tuning } from '../../src/kernel/tune.ts';
import { weightsId } from '../../src/model/catalog.ts';
import { defaultFusion, NO_FUSION } from '../../src/model/fusion.ts';
import type { Fusion } from '../../src/model/fusion.ts';
import type { Plan } from '../../src/model/plan.ts';
import { Program } from '../../src/model/program.ts';
import type { Mode } from '../../src/model/program.ts';
import { sitesOf } from '../../src/model/model.ts';
import { Weights } from '../../src/model/weights.ts';
import type { Checkpoint } from '../../src/model/model.ts';
import { Workspace } from '../../src/model/workspace.ts';
import { FIRST_NORM, isMeasurable, NORM_IDS } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { TWINS } from './golden.ts';
import { compilerOf, openGpu, readFloats } from './support.ts';

const library = new Library(new URL('/models/', location.href));
const MODEL = 'fairy-tale-gpt';
const TOKENS = [5, 300, 17, 2000, 64, 64, 901, 3, 1200, 77, 8, 450, 99];
const FUSIONS: readonly Fusion[] = [
  { ...NO_FUSION, fold: true },
  { ...NO_FUSION, prologue: true },
  { ...NO_FUSION, residual: true },
  { fold: true, prologue: true, residual: true },
];

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => {
  expect(gpu.liveBuffers).toBe(0);
  gpu[Symbol.dispose]();
});

async function checkpointOf(norm: NormId): Promise<Checkpoint> {
  const id = weightsId(MODEL, norm);
  await library.load(id);
  return library.checkpoint(id);
}

function planOf(checkpoint: Checkpoint, member: NormId): Plan {
  const source = member === checkpoint.norm ? 'twin' : 'raw';
  const sites = sitesOf(checkpoint).map(({ id }) => [id, { norm: member, source, alphaScale: 1 }] as const);
  return { weights: weightsId(MODEL, checkpoint.norm), sites: Object.fromEntries(sites) };
}

/** A twin on the device, its programs and their logits. */
class Bench implements Disposable {
  readonly checkpoint: Checkpoint;
  readonly weights: Weights;
  readonly space: Workspace;

  constructor(checkpoint: Checkpoint) {
    this.checkpoint = checkpoint;
    this.weights = new Weights(gpu, checkpoint);
    this.space = new Workspace(gpu, checkpoint.context);
  }

  build(plan: Plan, mode: Mode, tuning: Tuning | null = null): Promise<Program> {
    return Program.build(gpu, compilerOf(gpu), this.weights, this.space, plan, mode, tuning);
  }

  async logits(program: Program, tokens: readonly number[], past: number): Promise<Float32Array> {
    program.submit(tokens, past);
    const { V } = this.checkpoint.model.dims;
    return readFloats(gpu, this.space.activation('logits', V), tokens.length * V);
  }

  /** Logits of all tokens at once, and of the last one after the others. */
  async both(plan: Plan, fusion: Fusion, tuning: Tuning | null = null): Promise<Float32Array[]> {
    using prefill = await this.build(plan, { kind: 'prefill', hasProbes: false, fusion }, tuning);
    using decode = await this.build(plan, { kind: 'decode', hasProbes: false, fusion }, tuning);
    const whole = await this.logits(prefill, TOKENS, 0);
    const last = await this.logits(decode, TOKENS.slice(-1), TOKENS.length - 1);
    return [whole, last];
  }

  [Symbol.dispose](): void {
    this.weights[Symbol.dispose]();
    this.space[Symbol.dispose]();
  }
}

/** As the goldens are judged: 2e-4 of the largest logit. */
function expectClose(got: Float32Array[], want: Float32Array[], what: string): void {
  for (const [i, values] of want.entries()) {
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    const worst = values.reduce((most, value, at) => {
      const apart = Math.abs(value - (got[i]?.[at] ?? Number.NaN));
      return apart <= most ? most : apart; // NaN is worst of all
    }, 0);
    expect(worst, `${what}, ${i ? 'decode' : 'prefill'}`).toBeLessThanOrEqual(2e-4 * largest);
  }
}

const nameOf = (fusion: Fusion): string => JSON.stringify(fusion);

describe.each(TWINS.map(({ norm }) => norm))('%s twin', (norm) => {
  it('computes the same under every fusion', async () => {
    using bench = new Bench(await checkpointOf(norm));
    const plan = planOf(bench.checkpoint, norm);
    const want = await bench.both(plan, NO_FUSION);
    for (const fusion of FUSIONS) expectClose(await bench.both(plan, fusion), want, nameOf(fusion));
  });
});

/** With a twin a member has been through already, unless it takes other statistics when it is swapped in. */
const SWAPS = NORM_IDS.filter((id) => isMeasurable(id) || !TWINS.some(({ norm }) => norm === id));

describe('fusion', () => {
  it.each(SWAPS)('of %s swapped in computes the same', async (member) => {
    using bench = new Bench(await checkpointOf(FIRST_NORM));
    const plan = planOf(bench.checkpoint, member);
    const want = await bench.both(plan, NO_FUSION);
    for (const fusion of FUSIONS) expectClose(await bench.both(plan, fusion), want, nameOf(fusion));
  });

  it('dispatches and moves what it says', async () => {
    using bench = new Bench(await checkpointOf(FIRST_NORM));
    const { C } = bench.checkpoint.model.dims;
    const sites = sitesOf(bench.checkpoint).length;
    const T = 9;
    const plan = planOf(bench.checkpoint, FIRST_NORM);
    const counts = async (mode: Mode): Promise<{ ops: number; norms: number; bytes: number }> => {
      using program = await bench.build(plan, mode);
      return {
        ops: program.ops.length,
        norms: program.ops.filter(({ kind }) => kind === 'norm').length,
        bytes: program.ops.reduce((sum, op) => sum + op.bytes(T, 0), 0),
      };
    };
    const mode = { kind: 'prefill', hasProbes: false } as const;
    const plain = await counts({ ...mode, fusion: NO_FUSION });
    expect(plain.norms).toBe(sites);
    const fused = await counts({ ...mode, fusion: { ...NO_FUSION, prologue: true } });
    expect(fused).toEqual({ ops: plain.ops - sites, norms: 0, bytes: plain.bytes - sites * 2 * T * C * 4 });
    const folded = await counts({ ...mode, fusion: { ...NO_FUSION, fold: true } });
    expect([folded.ops, folded.norms]).toEqual([plain.ops, sites]);
    // The folded copies are f32 where the matrices are f16: qkv, fc and head, and the head's own bias.
    const { L, V } = bench.checkpoint.model.dims;
    expect(folded.bytes - plain.bytes).toBe((L * 7 * C + V) * C * 2 + 4 * V);
    const both = await counts({ ...mode, fusion: { ...NO_FUSION, fold: true, prologue: true } });
    expect(both.bytes).toBe(folded.bytes - sites * (2 * T * C + 2 * C) * 4);
    const aside = await counts({ ...mode, fusion: { ...NO_FUSION, residual: true } });
    // Every site but the first has a Linear before it.
    expect(aside).toEqual({ ...plain, bytes: plain.bytes + (sites - 1) * T * C * 4 });
    const probed = await counts({
      ...mode,
      hasProbes: true,
      fusion: { ...NO_FUSION, fold: true, prologue: true },
    });
    expect(probed.norms).toBe(sites);
    expect(await counts(mode)).toEqual(plain);
    const isGpu = !gpu.adapter.isFallback;
    expect((await counts({ ...mode, kind: 'decode' })).norms).toBe(isGpu ? 0 : sites);
    expect(defaultFusion('decode', false).prologue).toBe(true);
  });

  it('leaves sites alone that take statistics of the prompt', async () => {
    using bench = new Bench(await checkpointOf(FIRST_NORM));
    const measured = NORM_IDS.map((id) => planOf(bench.checkpoint, id));
    let seen = 0;
    for (const plan of measured) {
      const mode = { kind: 'prefill', hasProbes: false } as const;
      using plain = await bench.build(plan, { ...mode, fusion: NO_FUSION });
      if (plain.isCausal) continue;
      using fused = await bench.build(plan, {
        ...mode,
        fusion: { ...NO_FUSION, fold: true, prologue: true },
      });
      expect(fused.ops.map(({ label }) => label)).toEqual(plain.ops.map(({ label }) => label));
      seen += 1;
    }
    expect(seen).toBeGreaterThan(0);
  });

  it('keeps folded matrices as weights, and gives them back with the program', async () => {
    using bench = new Bench(await checkpointOf(FIRST_NORM));
    const plan = planOf(bench.checkpoint, FIRST_NORM);
    const mode = { kind: 'prefill', hasProbes: false } as const;
    (await bench.build(plan, { ...mode, fusion: NO_FUSION }))[Symbol.dispose](); // activations are there now
    const [buffers, bytes] = [gpu.liveBuffers, gpu.currentBytes];
    gpu.resetPeak();
    const weightsBefore = gpu.memory().peakBytesByPurpose.weights;
    {
      using _program = await bench.build(plan, {
        ...mode,
        fusion: { ...NO_FUSION, fold: true, prologue: true },
      });
      const { L, C, V } = bench.checkpoint.model.dims;
      const folded = 4 * (L * 7 * C + V) * (C + 1);
      expect(gpu.memory().peakBytesByPurpose.weights - weightsBefore).toBe(folded);
    }
    expect([gpu.liveBuffers, gpu.currentBytes]).toEqual([buffers, bytes]);
  });

  it('computes the same with kernels that a tuning chose', async () => {
    using bench = new Bench(await checkpointOf(FIRST_NORM));
    const plan = planOf(bench.checkpoint, FIRST_NORM);
    const want = await bench.both(plan, NO_FUSION);
    const choices: Record<string, MatmulId> = {};
    for (const [kind, id] of [
      ['prefill', 'tiled 32x32'],
      ['decode', 'gemv 32'],
    ] as const) {
      using program = await bench.build(plan, { kind, hasProbes: false });
      for (const { product } of program.ops)
        if (product)
          for (const dtype of ['f16', 'f32'] as const) choices[productKey({ ...product, dtype })] = id;
    }
    const tuning = { adapter: adapterName(gpu.adapter), sources: matmulSources(), choices };
    for (const fusion of [NO_FUSION, { ...NO_FUSION, fold: true, prologue: true }])
      expectClose(await bench.both(plan, fusion, tuning), want, nameOf(fusion));
  });
});

it('tunes what a program computes, once, on this device', async () => {
  using bench = new Bench(await checkpointOf(FIRST_NORM));
  using program = await bench.build(planOf(bench.checkpoint, FIRST_NORM), {
    kind: 'decode',
    hasProbes: false,
  });
  const ops = program.ops.filter(({ label }) => label.endsWith('attn.c_proj'));
  expect(ops.length).toBeGreaterThan(1);
  const before = gpu.liveBuffers;
  const spec = { warmups: 0, rounds: 1, margin: 0 };
  const steps: number[] = [];
  const onProduct = (done: number): void => void steps.push(done);
  const tuning = await tuneProgram(gpu, compilerOf(gpu), ops, { spec, onProduct });
  expect(gpu.liveBuffers).toBe(before);
  expect(steps).toEqual([0, 1]); // six layers, one shape
  const [product] = ops.flatMap((op) => op.product ?? []);
  if (!product) throw new Error('a matmul says what it computes');
  expect(Object.keys(tuning.choices)).toEqual([productKey(product)]);
  expect(Object.values(tuning.choices).every(isMatmulId)).toBe(true);
  expect(candidates(product, gpu)).toContain(tuning.choices[productKey(product)]);
  const again = await tuneProgram(gpu, compilerOf(gpu), ops, { known: tuning, spec, onProduct });
  expect(again).toEqual(tuning);
  expect(steps).toEqual([0, 1, 0]);
});
