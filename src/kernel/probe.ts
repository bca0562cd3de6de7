// The probes: what is reduced on the GPU at each norm site, and how it is unpacked.
import type { NormId } from '../norm/registry.ts';
import type { KernelSpec } from './compile.ts';
import { memberInMemory } from './norm.ts';

/** Statistics of one token at one site, in the order the GPU writes them. `u` is the member's drive. */
export const TOKEN_FIELDS = [
  'mean', // of the input over C channels
  'std', // biased
  'rms',
  'min',
  'max',
  'absMax',
  'kurtosis', // excess; 0 where std is 0
  'over1', // share of |u| > 1
  'over2',
  'over3',
  'slope', // mean f'(u) / f'(0)
  'outRms', // of the output, after gamma and beta
  'coreAbsMax', // largest |core|, before gamma and beta
  'driveAbsMax', // largest |u|
  'nonfinite', // NaN or Inf among inputs and outputs
] as const;
export type TokenField = (typeof TOKEN_FIELDS)[number];

/** u is counted in `bins` equal bins over ±range, with one bin below and one above. */
export const DRIVE = { bins: 128, range: 8 } as const;
/** Input × core plane: cells across ±max |x| and up ±max |core|. */
export const CURVE = { across: 128, up: 64 } as const;

const COUNTS = DRIVE.bins + 2 + CURVE.across * CURVE.up;

const constantName = (field: TokenField): string =>
  `F_${field.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase()}`;

function probe(file: string, id: NormId, C: number, eps: number, rows: number, from: number): KernelSpec {
  const member = memberInMemory(id, { C, eps, dtype: 'f32', hasResidual: false });
  return {
    files: [...member.files, 'probe/_io', file],
    entry: 'forward',
    constants: {
      ...member.constants,
      FROM: from,
      FIELDS: TOKEN_FIELDS.length,
      ...Object.fromEntries(TOKEN_FIELDS.map((field, index) => [constantName(field), index])),
      ROWS: rows,
      DRIVE_BINS: DRIVE.bins,
      DRIVE_RANGE: { f32: DRIVE.range },
      CURVE_X: CURVE.across,
      CURVE_Y: CURVE.up,
    },
  };
}

/** x[T, C] → token_stats[site]; one workgroup a row, the first of them `from`. */
export const tokenProbe = (id: NormId, C: number, eps: number, rows: number, from = 0): KernelSpec =>
  probe('probe/token', id, C, eps, rows, from);

/** x[T, C], token_stats[site] → counts[site]; one workgroup a row, the first of them `from`. */
export const histogramProbe = (id: NormId, C: number, eps: number, rows: number, from = 0): KernelSpec =>
  probe('probe/histogram', id, C, eps, rows, from);

export const statsBytes = (sites: number, rows: number): number => sites * rows * TOKEN_FIELDS.length * 4;
export const countsBytes = (sites: number): number => sites * COUNTS * 4;

/** What one run saw at one norm site. */
export type SiteStats = {
  /** One value a token, by field. */
  readonly tokens: Readonly<Record<TokenField, Float32Array>>;
  /** Counts of u: [below, bins…, above]. */
  readonly drive: Uint32Array;
  /** Counts on the input × core plane, rows from low to high core: [up · across]. */
  readonly curve: Uint32Array;
  readonly curveRange: { readonly x: number; readonly core: number };
};

/** The probes' buffers, read back for T tokens, as one record a site. */
export function unpackStats(
  stats: Float32Array,
  counts: Uint32Array,
  sites: number,
  rows: number,
  T: number,
): SiteStats[] {
  return Array.from({ length: sites }, (_, site) => {
    const tokens = Object.fromEntries(
      TOKEN_FIELDS.map((field, index) => [
        field,
        Float32Array.from(
          { length: T },
          (__, t) => stats[(site * rows + t) * TOKEN_FIELDS.length + index] ?? 0,
        ),
      ]),
    ) as Record<TokenField, Float32Array>;
    const base = site * COUNTS;
    const curveBase = base + DRIVE.bins + 2;
    return {
      tokens,
      drive: counts.slice(base, curveBase),
      curve: counts.slice(curveBase, base + COUNTS),
      curveRange: { x: Math.max(1e-30, ...tokens.absMax), core: Math.max(1e-30, ...tokens.coreAbsMax) },
    };
  });
}
