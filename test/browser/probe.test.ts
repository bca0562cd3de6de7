// The probes against float64, on inputs that hurt: a planted outlier, a constant row, values that are no numbers.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { normKernel } from '../../src/kernel/norm.ts';
import {
  CURVE,
  histogramProbe,
  statsBytes,
  countsBytes,
  TOKEN_FIELDS,
  tokenProbe,
  unpackStats,
} from '../../src/kernel/probe.ts';
import type { SiteStats } from '../../src/kernel/probe.ts';
import { thetaLayout } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { gaussian, NORM_IDS, normParams, referenceForward } from '../cases/norm.ts';
import type { NormCase } from '../cases/norm.ts';
import { referenceStats } from '../../src/kernel/probe-reference.ts';
import { dispatch, openGpu, runUniform } from './support.ts';

const EPS = 1e-5;
const ROWS = 8;
const SITES = 2;
const SITE = 1;
let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => {
  expect(gpu.liveBuffers).toBe(0);
  gpu[Symbol.dispose]();
});

async function probed(id: NormId, norm: NormCase, params: ReturnType<typeof normParams>): Promise<SiteStats> {
  const { x, T, C } = norm;
  const { offsets, P } = thetaLayout(id, C);
  const packed = new Float32Array(P);
  for (const [name, offset] of Object.entries(offsets)) packed.set(Array.from(params[name] ?? []), offset);
  using input = gpu.upload('x', 'activations', x);
  using theta = gpu.upload('theta', 'parameters', packed);
  using y = gpu.buffer('y', 'activations', x.byteLength);
  using run = runUniform(gpu, T);
  using stats = gpu.buffer('stats', 'probes', statsBytes(SITES, ROWS));
  using counts = gpu.buffer('counts', 'probes', countsBytes(SITES));
  using site = gpu.buffer('site', 'probes', 16, GPUBufferUsage.UNIFORM);
  gpu.write(site, Uint32Array.of(SITE));
  const buffers = { x: input, theta, y, run, token_stats: stats, counts, site };
  const shape = { C, eps: EPS, dtype: 'f32', form: 'plain', hasResidual: false } as const;
  await dispatch(gpu, normKernel(id, shape, gpu.machine).spec, { x: input, theta, y, run }, [T]);
  await dispatch(gpu, tokenProbe(id, C, EPS, ROWS), buffers, [T]);
  await dispatch(gpu, histogramProbe(id, C, EPS, ROWS), buffers, [T]);
  const bytes = await gpu.read([
    { buffer: stats, sizeBytes: statsBytes(SITES, ROWS) },
    { buffer: counts, sizeBytes: countsBytes(SITES) },
  ]);
  const cut = statsBytes(SITES, ROWS);
  const all = unpackStats(
    new Float32Array(bytes.slice(0, cut)),
    new Uint32Array(bytes.slice(cut)),
    SITES,
    ROWS,
    T,
  );
  const untouched = all[0];
  expect(untouched?.drive.every((count) => count === 0)).toBe(true);
  const mine = all[SITE];
  if (!mine) throw new Error('the site was not reported');
  return mine;
}

function inputs(T: number, C: number): NormCase {
  const next = gaussian(99);
  const x = Float32Array.from({ length: T * C }, next);
  x[C + 5] = 1e3; // the planted outlier: token 1, channel 5
  x.fill(0.7, 2 * C, 3 * C); // a constant token
  return { name: 'planted', T, C, x };
}

describe.each(NORM_IDS)('%s', (id) => {
  it.each([
    [5, 128],
    [4, 63],
    [3, 600],
  ])('reports the statistics of float64 on [%i, %i]', async (T, C) => {
    const norm = inputs(T, C);
    const params = normParams(id, norm);
    const got = await probed(id, norm, params);
    const output = Float32Array.from(referenceForward(id, norm, params, EPS));
    const want = referenceStats(id, params, norm.x, output, C, EPS);
    for (let t = 0; t < T; t++)
      for (const field of TOKEN_FIELDS) {
        const [value, wanted] = [got, want].map(({ tokens }) => tokens[field][t] ?? Number.NaN) as [
          number,
          number,
        ];
        const rms = want.tokens.rms[t] ?? 0;
        const scale = Math.max(Math.abs(wanted), field === 'mean' || field === 'kurtosis' ? rms : 1e-3);
        expect(
          Math.abs(value - wanted) / scale,
          `${field} of token ${t}: ${value}, float64 ${wanted}`,
        ).toBeLessThan(2e-5);
      }
    // The outlier is where it was planted, and nowhere else.
    expect(got.tokens.absMax.indexOf(Math.max(...got.tokens.absMax))).toBe(1);
    expect(got.tokens.kurtosis.indexOf(Math.max(...got.tokens.kurtosis))).toBe(1);
    // f32 may put a value on the other side of a bin's edge: at most a few, and only into the neighbour.
    const moved = (key: 'drive' | 'curve'): number =>
      want[key].reduce((sum, count, bin) => sum + Math.abs(count - (got[key][bin] ?? 0)), 0);
    expect(moved('drive')).toBeLessThanOrEqual(4);
    expect(moved('curve')).toBeLessThanOrEqual(0.02 * T * C);
    expect(got.drive.reduce((sum, count) => sum + count, 0)).toBe(T * C);
    expect(got.curve.reduce((sum, count) => sum + count, 0)).toBe(T * C);
    expect(got.curveRange.x).toBeCloseTo(1e3, 1);
  });

  it('counts NaN and Inf, and keeps the rest', async () => {
    const norm = inputs(3, 128);
    const clean = await probed(id, norm, normParams(id, norm));
    const params = normParams(id, norm);
    norm.x[3] = Number.NaN;
    norm.x[4] = Infinity;
    norm.x[7] = -Infinity;
    const got = await probed(id, norm, params);
    expect(got.tokens.nonfinite[0]).toBeGreaterThanOrEqual(3);
    expect(got.tokens.nonfinite[1]).toBe(0);
    for (const field of ['mean', 'std', 'absMax'] as const) {
      expect(Number.isFinite(got.tokens[field][0])).toBe(true);
      expect(got.tokens[field][1]).toBe(clean.tokens[field][1]);
    }
  });
});

it('puts the density of DyT on its own tanh', async () => {
  const norm = inputs(4, 256);
  norm.x[256 + 5] = 3;
  const params = normParams('dyt', norm);
  const { curve, curveRange } = await probed('dyt', norm, params);
  const alpha = params['alpha']?.[0] ?? Number.NaN;
  const cell = { x: (2 * curveRange.x) / CURVE.across, y: (2 * curveRange.core) / CURVE.up };
  for (const [at, count] of curve.entries()) {
    if (count === 0) continue;
    const left = -curveRange.x + (at % CURVE.across) * cell.x;
    const bottom = -curveRange.core + Math.floor(at / CURVE.across) * cell.y;
    // A cell with a value in it is crossed by the curve.
    expect(Math.tanh(alpha * (left + cell.x))).toBeGreaterThan(bottom - 1e-5);
    expect(Math.tanh(alpha * left)).toBeLessThan(bottom + cell.y + 1e-5);
  }
});
