// Each member alone as an ONNX graph, run by onnxruntime (WASM), against its float64 reference.
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { writeNormOnnx } from '../../src/onnx/norm-graph.ts';
import { toleranceOf } from '../../src/onnx/judge.ts';
import { NORM_IDS, normSpec } from '../../src/norm/registry.ts';
import { normCases, normParams, referenceForward } from '../cases/norm.ts';

const ort = createRequire(import.meta.url)('onnxruntime-web') as typeof import('onnxruntime-web');
const EPS = 1e-5;

describe.each(NORM_IDS)('%s', (id) => {
  it.each([false, true])('matches float64, in the form for JSEP: %s', async (isForJsep) => {
    // A channel that is constant over the tokens is rounding over √ε in any f32 engine.
    const isFit = normSpec(id).over === 'channel' ? /^normal \[[3-9]/ : /^(normal|outlier)/;
    for (const norm of normCases(id).filter(({ name }) => isFit.test(name))) {
      const { T, C, x } = norm;
      const params = normParams(id, norm);
      const { file, output } = writeNormOnnx(id, { T, C, eps: EPS }, params, {
        isMeasured: normSpec(id).over === 'channel',
        isForJsep,
      });
      const session = await ort.InferenceSession.create(file);
      const outputs = await session.run({ x: new ort.Tensor('float32', x, [1, T, C]) });
      await session.release();
      const got = outputs[output]?.data as Float32Array;
      const want = referenceForward(id, norm, params, EPS);
      const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      expect(got.length).toBe(want.length);
      expect(Math.max(...want.map((value, i) => Math.abs(value - (got[i] ?? Number.NaN))))).toBeLessThan(
        toleranceOf(largest),
      );
    }
  });
});
