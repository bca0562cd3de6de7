// Ours beside onnxruntime's engines on the same device, every member as it was trained, or as a raw swap where it was
// not: right answers first, then counts and times.
import { afterAll, describe, expect, it } from 'vitest';
import { Library } from '../../src/engine/library.ts';
import { WgslEngine } from '../../src/engine/wgsl.ts';
import { weightsId } from '../../src/model/catalog.ts';
import { planSource } from '../../src/model/plan.ts';
import type { Plan } from '../../src/model/plan.ts';
import { MAIN_NORM_IDS, normSpec } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { TWINS } from './golden.ts';

const engine = new WgslEngine(new Library(new URL('/models/', location.href)));
afterAll(() => engine.dispose());

const TOKENS = [47, 730, 272, 428, 75, 296, 274, 806];
const ROUNDS = 1;

const natives = TWINS.map(({ norm }) => ({ norm, twin: norm, source: 'twin' as const }));
/** A swap is the same graph with other numbers: those that no twin has shown, and one that sums over a row. */
const swaps = MAIN_NORM_IDS.filter(
  (norm) => norm === 'rmsnorm' || !natives.some(({ twin }) => twin === norm),
).map((norm) => ({ norm, twin: 'layernorm' as NormId, source: 'raw' as const }));

describe.each([...natives, ...swaps])('$norm on the $twin twin, $source', ({ norm, twin, source }) => {
  it('gives our logits on every engine of onnxruntime, prefill and decode', async () => {
    const { weights, sites } = await engine.load(weightsId('fairy-tale-gpt', twin));
    const plan: Plan = {
      weights,
      sites: Object.fromEntries(sites.map(({ id }) => [id, { norm, source, alphaScale: 1 }])),
    };
    const { contests } = await engine.compare(plan, TOKENS, { rounds: ROUNDS });
    // Statistics over tokens need every token at every step.
    const isCausal = normSpec(norm).over !== 'channel' || (norm === twin && source === 'twin');
    expect(contests.map(({ phase }) => phase)).toEqual(isCausal ? ['prefill', 'decode'] : ['prefill']);
    for (const { phase, contenders, tolerance } of contests) {
      expect(contenders.length).toBe(4);
      const names = ['Normscope · WGSL', 'native EP', 'JSEP', 'WASM'];
      for (const [index, contender] of contenders.entries()) {
        if (contender.isFailed) throw new Error(`${norm} ${phase}: ${contender.name}: ${contender.reason}`);
        const { name, dispatches, wallMs, maxAbsLogit } = contender;
        console.info(
          `table: ${planSource(plan)} ${norm} | ${phase} | ${name} | ${maxAbsLogit.toExponential(1)} | ${dispatches} | ${wallMs.summary.median.toFixed(1)}`,
        );
        expect(name).toContain(names[index]);
        expect(wallMs.samples.length).toBe(ROUNDS);
        expect(maxAbsLogit).toBeLessThanOrEqual(tolerance);
        if (index > 0 && !name.includes('WASM')) expect(dispatches).toBeGreaterThan(60);
        if (name.includes('WASM')) expect(dispatches).toBe(0);
      }
    }
    // The device is still ours.
    const { timing } = await engine.run(plan, [1, 2, 3], { probes: true });
    expect(timing.wallMs).toBeGreaterThan(0);
  });
});
