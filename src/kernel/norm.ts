// The norm family's kernels: forward of every member, and the column statistics that some members measure.
import { normSpec, thetaLayout } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import type { Machine } from '../gpu/device.ts';
import type { Constants, KernelSpec, PlannedKernel } from './compile.ts';

/** How a member's forward is asked for. Arithmetic is f32 whatever the width in memory. */
export type NormShape = {
  readonly C: number;
  readonly eps: number;
  /** Width of x, the residual and y in memory; f16 lies packed in u32, rows padded to an even length. */
  readonly dtype: 'f32' | 'f16';
  /** `plain` is the copy to read; `tuned` the fastest for this machine. */
  readonly form: 'plain' | 'tuned';
  /** x += delta first: x[T, C] is written too. */
  readonly hasResidual: boolean;
};

/** Most workgroups in one dimension of a grid: the default limit, which every device has. */
const MOST_GROUPS = 65535;
/** Cells of four values that one lane keeps of a row: 32 registers, and 64 where a small subgroup saves barriers. */
const MOST_HELD = 8;
const MOST_HELD_IN_TEAM = 16;
/** A processor has the memory for more, but each lane adds them one after the other and the sum loses digits. */
const MOST_HELD_ON_PROCESSOR = 64;

const powerOf2 = (atLeast: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, atLeast)));
const within = (value: number, least: number, most: number): number => Math.min(Math.max(value, least), most);

/** Who works on a row: TEAM lanes of a workgroup of WG, each on CHUNKS of the row's CELLS. */
function rowConstants(CELLS: number, TEAM: number, WG = TEAM): Constants {
  return { CELLS, TEAM, CHUNKS: Math.ceil(CELLS / TEAM), WG, ROWS: WG / TEAM };
}

/** A row for a whole workgroup without subgroups: the square of SPAN lanes, for lib/row; few where barriers are dear. */
function squareConstants(cells: number, machine?: Machine): Constants {
  const SPAN = machine && isProcessor(machine) ? 2 : cells <= 512 ? 8 : 16;
  return { ...rowConstants(cells, SPAN ** 2), SPAN };
}

/** What a member file itself needs: sizes, eps, and one offset into theta a parameter. */
export function memberConstants(id: NormId, C: number, eps: number): Constants {
  const { offsets } = thetaLayout(id, C);
  return {
    C,
    INV_C: { f32: 1 / C },
    EPS: { f32: eps },
    ...Object.fromEntries(Object.entries(offsets).map(([name, offset]) => [name.toUpperCase(), offset])),
  };
}

type MemberSource = Pick<KernelSpec, 'files' | 'constants'>;

/** A member with a workgroup a row, read from memory: all of a plain kernel, and of a probe, but its entry. */
export function memberInMemory(
  id: NormId,
  { C, eps, dtype, hasResidual }: Omit<NormShape, 'form'>,
  machine?: Machine,
): MemberSource {
  const cells = dtype === 'f16' ? Math.ceil(C / 2) : C;
  return {
    files: [`norm/_${dtype}`, hasResidual ? 'norm/_residual' : 'norm/_io', `norm/${id}`, 'norm/_reread'],
    constants: { ...memberConstants(id, C, eps), ...squareConstants(cells, machine) },
  };
}

type Layout = {
  readonly files: readonly string[];
  readonly constants: Constants;
  readonly workgroups: PlannedKernel['workgroups'];
};

/** Rows that one lane walks at most before the grid grows. */
const MOST_ROWS = 8;
const rowGrid = (T: number, rows: number): number => Math.min(Math.ceil(T / rows), MOST_GROUPS);

/**
 * Whether this is a processor that plays a GPU: SwiftShader's subgroups are its vectors of 4, and no GPU has so few
 * lanes. There registers are memory anyway, a barrier costs more than a row of 512 channels, and lanes with nothing to do
 * cost as much as others: its kernels have workgroups of one subgroup, and each walks some rows.
 */
const isProcessor = ({ subgroups }: Machine): boolean => subgroups !== null && subgroups.max <= 4;

/** Rows in teams, several rows a workgroup of at least `lanes`, in which a team walks `rows` of them. */
function teamLayout(cells: number, team: number, { subgroups }: Machine, lanes: number, rows = 1): Layout {
  const constants = rowConstants(cells, team, Math.max(lanes, subgroups?.max ?? 0));
  return {
    files: ['norm/_held', subgroups ? 'norm/_team' : 'norm/_shared'],
    constants: { ...constants, IS_WHOLE: subgroups?.max === team },
    workgroups: (T) => [rowGrid(T, rows * Number(constants['ROWS']))],
  };
}

/** Members over a row of `cells`: in registers, read once. */
function rowLayout(cells: number, hasResidual: boolean, machine: Machine): Layout {
  const { subgroups, mostLanes } = machine;
  // In a subgroup there is no barrier; without, a team of few lanes has short sums.
  const team = Math.min(powerOf2(subgroups ? cells : cells / 4), subgroups?.min ?? 16);
  if (isProcessor(machine) && cells <= team * MOST_HELD_ON_PROCESSOR)
    return teamLayout(cells, team, machine, team, MOST_ROWS);
  if (cells <= Math.min(128, team * MOST_HELD_IN_TEAM)) return teamLayout(cells, team, machine, 64);
  const lanes = within(powerOf2(cells / 4), Math.max(64, subgroups?.max ?? 0), Math.min(256, mostLanes));
  const constants = subgroups
    ? { ...rowConstants(cells, lanes), SUBGROUP: subgroups.min }
    : squareConstants(cells);
  const chunks = Number(constants['CHUNKS']);
  const isHeld = chunks <= MOST_HELD;
  // Few long rows leave most of a GPU idle. Not with a residual: x would be read while another writes it.
  const slices = (T: number): number => (isHeld && !hasResidual && cells >= 512 && T <= 4 ? chunks : 1);
  return {
    files: [isHeld ? 'norm/_held' : 'norm/_reread', subgroups ? 'norm/_subgroups' : 'norm/_workgroup'],
    constants,
    workgroups: (T) => [rowGrid(T, 1), slices(T)],
  };
}

/** Workgroups that fill any GPU: only beyond, a lane of a flat kernel takes several rows. */
const ENOUGH_GROUPS = 4096;

/** Members that take no sum over the row: any grid does, so one where a lane stays in its column. */
function flatLayout(cells: number, machine: Machine): Layout {
  // Whole workgroups across the row if they can be, and neighbouring lanes on neighbouring cells.
  const wide = [64, 32, 16].find((lanes) => cells % lanes === 0) ?? Math.min(powerOf2(cells), 64);
  const tall = isProcessor(machine) ? 1 : 128 / wide;
  const columns = Math.ceil(cells / wide);
  const enough = isProcessor(machine) ? 1 : Math.ceil(ENOUGH_GROUPS / columns);
  return {
    files: ['norm/_flat'],
    constants: { CELLS: cells, WIDE: wide, TALL: tall },
    workgroups: (T) => {
      const rows = Math.ceil(T / tall);
      return [columns, Math.min(rows, Math.max(enough, Math.ceil(rows / MOST_ROWS)), MOST_GROUPS)];
    },
  };
}

/**
 * x[T, C], theta[P] → y[T, C]; with a residual, delta[T, C] is added to x first. Bindings: x, theta, y, run, and
 * delta. Where C is not divisible by 4, `tuned` is `plain`.
 */
export function normKernel(id: NormId, shape: NormShape, machine: Machine): PlannedKernel {
  const { C, eps, dtype, form, hasResidual } = shape;
  const memory = memberInMemory(id, shape);
  if (form === 'plain' || C % 4 !== 0) {
    return {
      spec: { ...memory, files: [...memory.files, 'norm/_workgroup'], entry: 'forward' },
      workgroups: (T) => [rowGrid(T, 1)],
    };
  }
  const isRow = normSpec(id).over === 'token';
  const { files, constants, workgroups } = isRow
    ? rowLayout(C / 4, hasResidual, machine)
    : flatLayout(C / 4, machine);
  const io = hasResidual ? 'norm/_residual' : 'norm/_io';
  return {
    spec: {
      files: [`norm/_${dtype}x4`, io, `norm/${id}`, ...files],
      entry: 'forward',
      constants: { ...memberConstants(id, C, eps), ...constants },
    },
    workgroups,
  };
}

/** Bytes that must cross memory at least once: x, y and theta; with a residual delta and x again. */
export function normBytes(id: NormId, { C, dtype, hasResidual }: NormShape, T: number): number {
  const row = dtype === 'f16' ? 4 * Math.ceil(C / 2) : 4 * C;
  return T * row * (hasResidual ? 4 : 2) + 4 * thetaLayout(id, C).P;
}

export const COLUMN_LANES = 64;

/**
 * x[T, C] → mean, its low part and variance of each channel, into theta of `id`; one lane a channel. x is f32, and a
 * residual has been added before.
 */
export function columnStatistics(id: NormId, C: number): KernelSpec {
  const { offsets } = thetaLayout(id, C);
  const offsetOf = (measured: string): number => {
    const found = Object.entries(normSpec(id).params).find(([, param]) => param.measured === measured);
    return offsets[found?.[0] ?? ''] ?? 0;
  };
  return {
    files: ['norm/_columns'],
    entry: 'forward',
    constants: {
      WG: COLUMN_LANES,
      C,
      COLUMN_MEAN: offsetOf('mean'),
      COLUMN_MEAN_LOW: offsetOf('meanLow'),
      COLUMN_VARIANCE: offsetOf('variance'),
    },
  };
}
