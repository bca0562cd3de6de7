// onnxruntime (WASM, in the browser) judges our kernels: every member, native and as a raw swap.
import { afterAll, describe, expect, it } from 'vitest';
import { Library } from '../../src/engine/library.ts';
import { WgslEngine } from '../../src/engine/wgsl.ts';
import { weightsId } from '../../src/model/catalog.ts';
import type { Plan } from '../../src/model/plan.ts';
import { NORM_IDS } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { judge, maxDifference, toleranceOf } from '../../src/onnx/judge.ts';

const engine = new WgslEngine(new Library(new URL('/models/', location.href)));
afterAll(() => engine.dispose());
const MODEL = 'fairy-tale-gpt';
const TEXT = 'Omeed likes to eat potatoes';

async function planFor(base: NormId, norm: NormId): Promise<Plan> {
  const { weights, sites } = await engine.load(weightsId(MODEL, base));
  const source = norm === base ? 'twin' : 'raw';
  return { weights, sites: Object.fromEntries(sites.map(({ id }) => [id, { norm, source, alphaScale: 1 }])) };
}

const info = await engine.model(MODEL);
const pairs = [
  ...NORM_IDS.filter((id) => info.twins[id]).map((id) => [id, id] as const),
  ...NORM_IDS.filter((id) => id !== 'layernorm').map((id) => ['layernorm', id] as const),
  ['dyt', 'layernorm'] as const,
];

describe('the judge', () => {
  it.each(pairs)('finds no difference on the %s twin with %s', async (base, norm) => {
    const tokens = (await engine.tokenize(MODEL, TEXT)).map(({ id }) => id);
    const verdict = await engine.judge(await planFor(base, norm), tokens);
    console.info(
      `${verdict.engine}: ${base} → ${norm}: max |Δlogit| ${verdict.maxAbsLogit.toExponential(2)} of ${verdict.tolerance.toExponential(2)}, KL ${verdict.maxKl.toExponential(1)}`,
    );
    expect(verdict).toMatchObject({
      light: 'green',
      topAgreement: 1,
      firstDifference: null,
      tokenCount: tokens.length,
    });
    expect(verdict.engine).toMatch(/^onnxruntime-web 1\.\d+\.\d+ · WASM \d+ threads?$/);
    expect(verdict.maxAbsLogit).toBeGreaterThan(0); // two engines, not one asked twice
  });

  it('names the first site where two engines part, and colours by the size of it', () => {
    const values = (shift: number) => ({
      logits: Float32Array.of(1 + shift, 2, 3, 4),
      site: (site: string, side: 'in' | 'out') =>
        Float32Array.of(site === 'b' && side === 'out' ? 5 + shift : 5),
    });
    const parted = (shift: number) => judge('x', values(0), values(shift), ['a', 'b', 'c'], 2);
    expect(parted(1e-5)).toMatchObject({ light: 'green', firstDifference: null });
    expect(parted(2e-3)).toMatchObject({ light: 'amber', firstDifference: { site: 'b', side: 'out' } });
    expect(parted(1)).toMatchObject({ light: 'red', topAgreement: 0.5 });
    expect(parted(Number.NaN)).toMatchObject({ light: 'red', firstDifference: { site: 'b' } });
    expect(maxDifference(Float32Array.of(NaN), Float32Array.of(Infinity))).toEqual({ maxAbs: 0, largest: 0 });
    expect(toleranceOf(0.5)).toBe(2e-4);
  });
});
