// The matmul family: y[T, N] = epilogue(in[T, K] · w[N, K]ᵀ + bias[N]), weights f16, bf16 or f32; `in` is x or a norm
// of it.
import type { Machine } from '../gpu/device.ts';
import { normSpec, thetaLayout } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import type { Constants, PlannedKernel } from './compile.ts';
import { memberConstants } from './norm.ts';

/** How a matrix lies on the GPU: its stored width, and out × in with rows padded to an even length. */
export type MatrixDtype = 'f16' | 'bf16' | 'f32';
export const dtypeWidth = (dtype: MatrixDtype): number => (dtype === 'f32' ? 4 : 2);

/** GELU with the error function, with tanh, or as x · sigmoid(1.702 x). Hendrycks & Gimpel 2016, arXiv:1606.08415. */
export const ACTIVATIONS = ['gelu-erf', 'gelu-tanh', 'gelu-quick'] as const;
export type Activation = (typeof ACTIVATIONS)[number];

export type MatmulShape = {
  readonly N: number;
  readonly K: number;
  readonly dtype: MatrixDtype;
  readonly hasBias?: boolean;
  readonly act?: Activation | undefined;
  /** y is added to, not written over: the residual stream. */
  readonly isAdded?: boolean;
  /** These N outputs are those from `first` on of the `of` that a row of y and the bias have. */
  readonly part?: { readonly first: number; readonly of: number };
};

/** A norm taken where the product reads x; without the affine part its γ and β are not read. */
export type Prologue = { readonly norm: NormId; readonly eps: number; readonly hasAffine: boolean };

/** `lanes` a workgroup, `rows` tokens a workgroup. */
type Form = { readonly lanes: number; readonly rows: number } & (
  | { readonly file: 'plain' | 'blocked' }
  /** `columns` outputs a workgroup, perRow × perColumn a lane, `deep` quads of K at a time. */
  | {
      readonly file: 'tiled';
      readonly columns: number;
      readonly deep: number;
      readonly perRow: number;
      readonly perColumn: number;
    }
  /** Four outputs for every group of `across` lanes. */
  | { readonly file: 'gemv'; readonly across: number }
);

const tiled = (rows: number, columns: number, deep: number, perRow: number, perColumn: number) =>
  ({
    file: 'tiled',
    lanes: (rows / perRow) * (columns / perColumn),
    rows,
    columns,
    deep,
    perRow,
    perColumn,
  }) as const;
const gemv = (lanes: number, across: number, rows: number) =>
  ({ file: 'gemv', lanes, rows, across }) as const;

/** Every kernel a product may be computed with, by the name a tuning keeps. */
export const MATMULS = {
  plain: { file: 'plain', lanes: 64, rows: 1 },
  blocked: { file: 'blocked', lanes: 64, rows: 4 },
  'tiled 16x32': tiled(16, 32, 8, 2, 4),
  'tiled 32x32': tiled(32, 32, 8, 4, 4),
  'tiled 32x64': tiled(32, 64, 4, 4, 4),
  'tiled 64x64': tiled(64, 64, 4, 4, 4),
  'tiled 64x64, 8x4': tiled(64, 64, 4, 8, 4),
  'tiled 64x64, 8x8': tiled(64, 64, 4, 8, 8),
  'tiled 128x64': tiled(128, 64, 4, 8, 4),
  'tiled 128x128': tiled(128, 128, 2, 8, 8),
  'gemv 4': gemv(64, 4, 1),
  'gemv 32': gemv(64, 32, 1),
  'gemv 64': gemv(64, 64, 1),
  'gemv 256': gemv(256, 256, 1),
  'gemv 4, 4 tokens': gemv(64, 4, 4),
  'gemv 32, 4 tokens': gemv(64, 32, 4),
  'gemv 64, 4 tokens': gemv(64, 64, 4),
} as const satisfies Record<string, Form>;

export type MatmulId = keyof typeof MATMULS;
export const MATMUL_IDS = Object.keys(MATMULS) as readonly MatmulId[];
export const isMatmulId = (id: string): id is MatmulId => Object.hasOwn(MATMULS, id);

/** Columns of a row that a norm in front of `plain` and `blocked` keeps in shared memory, 8 KiB in all. */
const STAGED_FLOATS = 2048;

/** Bytes of workgroup memory a kernel asks for. */
export function sharedBytes(id: MatmulId, hasPrologue: boolean): number {
  const form: Form = MATMULS[id];
  const own =
    form.file === 'tiled'
      ? 16 * (form.rows + form.columns) * (form.deep + 1)
      : form.file === 'gemv'
        ? 16 * form.lanes
        : hasPrologue
          ? 4 * STAGED_FLOATS
          : 0;
  return own + (hasPrologue ? 16 * form.rows + 8 * form.lanes : 0);
}

/** Whether a kernel fits this machine. */
export function fits(id: MatmulId, machine: Machine, hasPrologue: boolean): boolean {
  const { lanes, rows } = MATMULS[id];
  return (
    lanes <= machine.mostLanes &&
    sharedBytes(id, hasPrologue) <= machine.sharedBytes &&
    (!hasPrologue || rows <= lanes)
  );
}

/**
 * x[T, K], w[N, K] → y[T, N], any T, N and K, with f32 accumulation. With a prologue `in` is the norm of x and
 * theta[P] its parameters: the norm's dispatch and its [T, K] are not needed.
 */
export function matmulKernel(
  id: MatmulId,
  shape: MatmulShape,
  machine: Machine,
  prologue?: Prologue,
): PlannedKernel {
  const { N, K, dtype, hasBias = false, act, isAdded = false, part } = shape;
  const form: Form = MATMULS[id];
  const { lanes, rows, file } = form;
  const isQuads = file === 'tiled' || file === 'gemv';
  const isRagged = K % 4 !== 0;
  const { subgroups } = machine;
  const across = file === 'gemv' ? form.across : 0;
  const hasSubgroups = subgroups !== null && across % subgroups.max === 0;
  const files = [
    isQuads && !isRagged ? `lib/weight_${dtype}_quads` : `lib/weight_${dtype}`,
    'matmul/_io',
    ...(isQuads ? (isRagged ? ['matmul/_x_ragged', 'matmul/_w_ragged'] : ['matmul/_x_quads']) : []),
    ...(prologue ? [`norm/${prologue.norm}`, 'matmul/_normed'] : ['matmul/_as_is']),
    ...(file === 'gemv' ? [`matmul/_gemv_${hasSubgroups ? 'subgroups' : 'shared'}`] : []),
    `matmul/${file}`,
  ];
  const team = lanes / rows;
  const norm: Constants = prologue
    ? {
        ...memberConstants(prologue.norm, K, prologue.eps),
        CELLS: K,
        TEAM: team,
        CHUNKS: Math.ceil(K / team),
        SPAN: 2 ** Math.ceil(Math.log2(team) / 2),
        AFFINE: prologue.hasAffine,
        OVER_ROW: normSpec(prologue.norm).over === 'token',
      }
    : {};
  const own: Constants =
    form.file === 'tiled'
      ? { COLUMNS: form.columns, DEEP: form.deep, PER_ROW: form.perRow, PER_COLUMN: form.perColumn }
      : form.file === 'gemv'
        ? { ACROSS: across, ALONE: subgroups?.min === across && subgroups.max === across }
        : {};
  return {
    spec: {
      files,
      entry: 'forward',
      constants: {
        LANES: lanes,
        ROWS: rows,
        N,
        K,
        PAIRS: Math.ceil(K / 2),
        QUADS: Math.ceil(K / 4),
        CHUNK: prologue ? STAGED_FLOATS / rows : 2 * Math.ceil(K / 2),
        BIAS: hasBias,
        ACT: act ? 1 + ACTIVATIONS.indexOf(act) : 0,
        FIRST: part?.first ?? 0,
        STRIDE: part?.of ?? N,
        ADD: isAdded,
        ...own,
        ...norm,
      },
    },
    workgroups: (T) => [Math.ceil(N / outputsOf(form)), Math.ceil(T / rows)],
  };
}

/** Outputs of one token that a workgroup computes. */
function outputsOf(form: Form): number {
  switch (form.file) {
    case 'plain':
      return form.lanes;
    case 'blocked':
      return 4 * form.lanes;
    case 'tiled':
      return form.columns;
    case 'gemv':
      return (4 * form.lanes) / form.across;
  }
}

/** Bytes that must cross memory at least once: x, w, bias, y (twice when it is added to), a prologue's parameters. */
export function matmulBytes(
  { N, K, dtype, hasBias, isAdded }: MatmulShape,
  T: number,
  prologue?: Prologue,
): number {
  const weights = N * K * dtypeWidth(dtype);
  const theta = prologue ? thetaLayout(prologue.norm, K).P - (prologue.hasAffine ? 0 : 2 * K) : 0;
  return weights + 4 * (T * K + T * N * (isAdded ? 2 : 1) + (hasBias ? N : 0) + theta);
}
