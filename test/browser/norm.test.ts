import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { columnStatistics, COLUMN_LANES, normKernel } from '../../src/kernel/norm.ts';
import type { NormShape } from '../../src/kernel/norm.ts';
import { normSpec, thetaLayout } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import type { Params } from '../../src/norm/reference.ts';
import {
  NORM_IDS,
  normCases,
  normParams,
  referenceForward,
  TOLERANCE,
  worstDeviation,
} from '../cases/norm.ts';
import type { NormCase } from '../cases/norm.ts';
import { dispatch, openGpu, readFloats, runUniform } from './support.ts';

const EPS = 1e-5;
const shapeOf = (C: number): NormShape => ({ C, eps: EPS, dtype: 'f32', form: 'plain', hasResidual: false });
let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => {
  expect(gpu.liveBuffers).toBe(0);
  gpu[Symbol.dispose]();
});

function packed(id: NormId, C: number, params: Params): Float32Array {
  const { offsets, P } = thetaLayout(id, C);
  const theta = new Float32Array(P);
  for (const [name, offset] of Object.entries(offsets)) theta.set(Array.from(params[name] ?? []), offset);
  return theta;
}

async function forward(
  id: NormId,
  { x, T, C }: NormCase,
  params: Params,
  isMeasured: boolean,
): Promise<Float32Array> {
  using input = gpu.upload('x', 'activations', x);
  using theta = gpu.upload('theta', 'parameters', packed(id, C, params));
  using y = gpu.buffer('y', 'activations', x.byteLength);
  using run = runUniform(gpu, T);
  if (isMeasured)
    await dispatch(gpu, columnStatistics(id, C), { x: input, theta, run }, [Math.ceil(C / COLUMN_LANES)]);
  const { spec, workgroups } = normKernel(id, shapeOf(C), gpu.machine);
  await dispatch(gpu, spec, { x: input, theta, y, run }, workgroups(T));
  return readFloats(gpu, y, T * C);
}

describe.each(NORM_IDS)('%s', (id) => {
  const isMeasured = Object.values(normSpec(id).params).some((param) => param.measured);
  it.each(normCases(id))('matches float64 on $name', async (norm) => {
    const params = normParams(id, norm);
    const want = referenceForward(id, norm, params, EPS);
    const gamma = params['gamma'] ?? [];
    expect(
      worstDeviation(await forward(id, norm, params, false), want, gamma, TOLERANCE[id]),
    ).toBeUndefined();
    if (!isMeasured) return;
    const wiped = Object.fromEntries(
      Object.entries(params).map(([name, values]) => [
        name,
        normSpec(id).params[name]?.measured ? new Float32Array(values.length) : values,
      ]),
    );
    expect(worstDeviation(await forward(id, norm, wiped, true), want, gamma, TOLERANCE[id])).toBeUndefined();
  });

  it('walks more rows than the grid has workgroups', async () => {
    const C = 3;
    const T = 40;
    const next = normCases(id)[0];
    const norm = {
      name: 'grid',
      T,
      C,
      x: Float32Array.from({ length: T * C }, (_, i) => Math.sin(i) * (next?.C ?? 1)),
    };
    const params = normParams(id, norm);
    using input = gpu.upload('x', 'activations', norm.x);
    using theta = gpu.upload('theta', 'parameters', packed(id, C, params));
    using y = gpu.buffer('y', 'activations', norm.x.byteLength);
    using run = runUniform(gpu, T);
    await dispatch(gpu, normKernel(id, shapeOf(C), gpu.machine).spec, { x: input, theta, y, run }, [7]);
    const got = await readFloats(gpu, y, T * C);
    const want = referenceForward(id, norm, params, EPS);
    expect(worstDeviation(got, want, params['gamma'] ?? [], TOLERANCE[id])).toBeUndefined();
  });
});
