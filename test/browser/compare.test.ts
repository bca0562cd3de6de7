// Ours beside onnxruntime's engines on the same device: right answers first, then counts and times.
import { afterAll, expect, it } from 'vitest';
import { Library } from '../../src/engine/library.ts';
import { WgslEngine } from '../../src/engine/wgsl.ts';
import { toleranceOf } from '../../src/onnx/judge.ts';
import type { NormId } from '../../src/norm/registry.ts';

const engine = new WgslEngine(new Library(new URL('/models/', location.href)));
afterAll(() => engine.dispose());

it.each<NormId>(['layernorm', 'dyt'])(
  'runs the %s twin on every engine that will, and names those that will not',
  async (norm) => {
    const { weights, sites } = await engine.load(`fairy-tale-gpt/${norm}`);
    const plan = {
      weights,
      sites: Object.fromEntries(
        sites.map(({ id }) => [id, { norm, source: 'twin' as const, alphaScale: 1 }]),
      ),
    };
    const { contenders } = await engine.compare(plan, [47, 730, 272, 428, 75, 296, 274, 806], { rounds: 3 });
    expect(contenders.length).toBe(4);
    for (const contender of contenders) {
      if (contender.isFailed) {
        console.info(`${norm}: ${contender.name} failed: ${contender.reason.slice(0, 300)}`);
        // On the software adapter JSEP refuses the graph; whatever else fails must say why.
        expect(contender.name).toMatch(/^onnxruntime-web · (JSEP|native EP)$/);
        expect(contender.reason).toMatch(/\w{4}/);
        continue;
      }
      const { name, dispatches, wallMs, maxAbsLogit } = contender;
      console.info(
        `${norm}: ${name}: ${wallMs.summary.median.toFixed(1)} ms, ${dispatches} dispatches, max |Δlogit| ${maxAbsLogit.toExponential(1)}`,
      );
      expect(wallMs.samples.length).toBe(3);
      expect(maxAbsLogit).toBeLessThanOrEqual(toleranceOf(15));
    }
    const [ours] = contenders;
    const wasm = contenders.find(({ name }) => name.includes('WASM'));
    expect(ours).toMatchObject({ isFailed: false, dispatches: 51, maxAbsLogit: 0 });
    expect(wasm).toMatchObject({ isFailed: false, dispatches: 0 });
    // The device is still ours.
    const { timing } = await engine.run(plan, [1, 2, 3], { probes: true });
    expect(timing.wallMs).toBeGreaterThan(0);
  },
);
