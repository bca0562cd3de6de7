// The suite of norms alone: a cell a shape, width, residual and regime; in it every member in every form, over the
// same buffers, beside a plain copy of as many bytes.
import type { GpuBuffer, Machine } from '../gpu/device.ts';
import { Batcher, dispatchOf } from '../kernel/batch.ts';
import type { Dispatch } from '../kernel/batch.ts';
import type { Constants, KernelSpec, PlannedKernel } from '../kernel/compile.ts';
import { columnBytes, normBytes, normKernels, rowBytes } from '../kernel/norm.ts';
import { bends, normSpec, thetaLayout } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { kernelInfo } from './kernel-info.ts';
import {
  EPS,
  errorAgainst,
  isAlwaysMeasured,
  isWrong,
  normParams,
  packedParams,
  packedValues,
  expected,
  unpackedRow,
} from './norm-data.ts';
import type { Bench, Work } from './roofline.ts';
import { REFERENCE } from './spec.ts';
import type { Cell, ContestantInfo, Dtype, ErrorAgainst, Form, NormsSpec, Roofline } from './spec.ts';
import { isLost, reasonOf } from './suite.ts';
import type { Baselines, Entrant, OpenCell, PlannedCell, PlannedSuite } from './suite.ts';

export type NormCell = Cell & { readonly C: number; readonly dtype: Dtype };

const MIB = 2 ** 20;
/** All the sets of a cold cell together: four times the cache if it is known, and within bounds. */
const COLD_BYTES = { hardware: 256 * MIB, software: 16 * MIB, most: 1024 * MIB };
const FLOPS_A_VALUE = 8;
const COPY: ContestantInfo = {
  id: 'copy',
  label: 'Copy of as many bytes',
  engine: 'copy',
  engineName: null,
  member: null,
  form: null,
  fusion: null,
  weights: null,
};

function cellsOf({ shapes, dtypes, hasResidual, regimes }: NormsSpec): NormCell[] {
  return shapes.flatMap(({ T, C }) =>
    dtypes.flatMap((dtype) =>
      hasResidual.flatMap((residual) =>
        regimes.map((regime): NormCell => {
          const id = `[${T}, ${C}] ${dtype}${residual ? ' + residual' : ''} ${regime}`;
          return { id, phase: 'isolated', T, past: 0, C, dtype, hasResidual: residual, regime };
        }),
      ),
    ),
  );
}

const infoOf = (member: NormId, form: Form): ContestantInfo => ({
  ...COPY,
  id: `${member} ${form}`,
  label: `${normSpec(member).label} · ${form}`,
  engine: 'ours',
  member,
  form,
});

const setBytes = ({ T, C, dtype, hasResidual }: NormCell): number =>
  (hasResidual ? 3 : 2) * T * rowBytes(C, dtype);

/** What is gone through before a buffer is met again. */
const footprint = (cell: NormCell): number =>
  cell.regime === 'cold' ? Number.MAX_SAFE_INTEGER : setBytes(cell);

export function normWork(id: NormId, cell: NormCell): Work {
  const { T, C, dtype } = cell;
  const isMeasured = isAlwaysMeasured(id);
  const hasResidual = cell.hasResidual && !isMeasured;
  const columns = isMeasured ? columnBytes(cell, T) : 0;
  return {
    dispatches: isMeasured ? 2 : 1,
    bytesMin: normBytes(id, { C, eps: EPS, dtype, form: 'plain', hasResidual }, T) + columns,
    flops: (isMeasured ? 2 : 1) * FLOPS_A_VALUE * T * C,
    bends: bends(id) ? T * C : 0,
    footprintBytes: footprint(cell),
  };
}

function copyWork(cell: NormCell): Work {
  const { T, C, dtype, hasResidual } = cell;
  const dispatches = hasResidual ? 2 : 1;
  const bytesMin = 2 * dispatches * 16 * vectors(T, C, dtype);
  return { dispatches, bytesMin, flops: 0, bends: 0, footprintBytes: footprint(cell) };
}

/** vec4 of a buffer of x. */
const vectors = (T: number, C: number, dtype: Dtype): number => Math.ceil((T * rowBytes(C, dtype)) / 16);

export function planNorms(spec: NormsSpec, bench: Bench, baselines: Baselines | null): PlannedSuite {
  const cells = cellsOf(spec).map((cell): PlannedCell => {
    const ours = spec.members.flatMap((member) => spec.forms.map((form) => ({ member, form })));
    const engines = spec.baselines.filter((id) => id !== 'copy');
    const hasCopy = spec.baselines.includes('copy');
    const [form = 'tuned'] = spec.forms;
    return {
      cell,
      reference: infoOf(spec.members.includes(REFERENCE) ? REFERENCE : (spec.members[0] ?? REFERENCE), form)
        .id,
      plan: [
        ...ours.map((one) => ({ info: infoOf(one.member, one.form), work: normWork(one.member, cell) })),
        ...(hasCopy ? [{ info: COPY, work: copyWork(cell) }] : []),
      ],
      open: async (roofline, signal) => {
        const opened = await openNormCell(bench, cell, ours, hasCopy, roofline, signal);
        if (!baselines || !engines.length) return opened;
        const theirs = await baselines({ engines, cell, members: spec.members, entries: [] });
        return {
          entrants: [...opened.entrants, ...theirs.entrants],
          failures: [...opened.failures, ...theirs.failures],
          dispose: async () => {
            await theirs.dispose();
            await opened.dispose();
          },
        };
      },
    };
  });
  return { cells, finish: async () => undefined };
}

/** Buffers that every contestant of a cell runs over. */
type Buffers = { readonly x: GpuBuffer; readonly y: GpuBuffer; readonly delta: GpuBuffer };

/** Sets to go through in turn: x and y that change places, or as many as no cache holds. */
function openSets(
  { gpu }: Bench,
  cell: NormCell,
  values: ArrayBufferView,
  roofline: Roofline,
  own: (buffer: GpuBuffer) => GpuBuffer,
): Buffers[] {
  const { T, C, dtype, hasResidual, regime } = cell;
  const sizeBytes = 16 * vectors(T, C, dtype);
  const make = (name: string): GpuBuffer => own(gpu.buffer(name, 'activations', sizeBytes));
  const filled = (name: string, data: ArrayBufferView): GpuBuffer => {
    const buffer = make(name);
    gpu.write(buffer, data);
    return buffer;
  };
  // A residual is added, then taken off again: x stays what it was.
  const deltas = hasResidual
    ? [1, -1].map((sign) => filled('delta', packedValues({ T, C }, dtype, true, sign)))
    : [];
  const deltaOf = (i: number, x: GpuBuffer): GpuBuffer => deltas[i % 2] ?? x;
  if (regime === 'hot') {
    const [x, y] = [filled('x', values), make('y')];
    if (hasResidual) return [0, 1].map((i) => ({ x, y, delta: deltaOf(i, x) }));
    return [
      { x, y, delta: x },
      { x: y, y: x, delta: x },
    ];
  }
  const { hardware, software, most } = COLD_BYTES;
  const known = roofline.cacheBytes === null ? 0 : 4 * roofline.cacheBytes;
  const wanted = Math.max(known, gpu.adapter.isFallback ? software : hardware);
  const count = Math.max(8, Math.ceil(wanted / (2 * sizeBytes)));
  const bounded = Math.max(2, Math.min(count, 256, Math.floor(most / (2 * sizeBytes))));
  // An even number, so that going round adds each delta as often as it takes it off.
  return Array.from({ length: bounded + (bounded % 2) }, (_, i) => {
    const x = filled(`x.${i}`, values);
    return { x, y: make(`y.${i}`), delta: deltaOf(i, x) };
  });
}

type Step = { readonly spec: KernelSpec; readonly workgroups: ReturnType<PlannedKernel['workgroups']> };

/** The dispatches of one norm of x[T, C], for a machine. */
export function normSteps(
  machine: Machine,
  member: NormId,
  form: Form,
  { T, C, dtype, hasResidual }: Pick<NormCell, 'T' | 'C' | 'dtype' | 'hasResidual'>,
): Step[] {
  const shape = { C, eps: EPS, dtype, form, hasResidual };
  const kernels = normKernels(member, shape, isAlwaysMeasured(member), machine);
  return kernels.map(({ spec, workgroups }) => ({ spec, workgroups: workgroups(T) }));
}

/** Every contestant compiled, bound and checked against float64; who answers wrongly is a failure, not an entrant. */
export async function openNormCell(
  bench: Bench,
  cell: NormCell,
  ours: readonly { readonly member: NormId; readonly form: Form }[],
  hasCopy: boolean,
  roofline: Roofline,
  signal?: AbortSignal,
): Promise<OpenCell> {
  const { gpu, compiler, clock } = bench;
  const { T, C, dtype, hasResidual } = cell;
  const owned: GpuBuffer[] = [];
  const own = (buffer: GpuBuffer): GpuBuffer => {
    owned.push(buffer);
    return buffer;
  };
  const dispose = (): void => {
    for (const buffer of owned) buffer[Symbol.dispose]();
  };
  const batcher = new Batcher(gpu, clock);
  const values = packedValues({ T, C }, dtype);
  const entrants: Entrant[] = [];
  const failures: OpenCell['failures'][number][] = [];

  async function entrant(
    info: ContestantInfo,
    work: Work,
    error: Entrant['error'],
    steps: readonly { readonly constants: Constants; readonly dispatch: Dispatch }[][],
  ): Promise<Entrant> {
    const runs = steps.map((run) => run.map(({ dispatch }) => dispatch));
    const kernels = (steps[0] ?? []).map(({ constants, dispatch }) => kernelInfo(dispatch.kernel, constants));
    return { id: info.id, info, work, error, kernels, run: (n) => batcher.run(runs, n) };
  }

  try {
    const sets = openSets(bench, cell, values, roofline, own);
    const run = own(gpu.uniform('run', Uint32Array.of(T, 0)));
    for (const { member, form } of ours) {
      signal?.throwIfAborted();
      const info = infoOf(member, form);
      try {
        const theta = own(gpu.buffer('theta', 'parameters', 4 * thetaLayout(member, C).P));
        const planned = normSteps(gpu.machine, member, form, cell);
        const steps = await Promise.all(
          sets.map((set) =>
            Promise.all(
              planned.map(async ({ spec, workgroups }) => ({
                constants: spec.constants,
                dispatch: await dispatchOf(compiler, spec, { ...set, theta, run }, workgroups),
              })),
            ),
          ),
        );
        const error = await check(member, theta, sets[0], steps[0]?.map(({ dispatch }) => dispatch) ?? []);
        gpu.write(theta, packedParams(member, C, normParams(member, C, 'timing')));
        const work = { ...normWork(member, cell), dispatches: batcher.dispatches };
        entrants.push(await entrant(info, work, error, steps));
      } catch (thrown) {
        signal?.throwIfAborted();
        if (isLost(thrown)) throw thrown;
        failures.push({ cell: cell.id, contestant: info.id, reason: reasonOf(thrown) });
      }
    }
    if (hasCopy) {
      const N = vectors(T, C, dtype);
      const WG = roofline.copy.workgroupSize;
      const constants = { WG, N };
      const spec = { files: ['bench/copy'], entry: 'forward', constants };
      const groups = Math.min(Math.ceil(N / WG), 65_535);
      const steps = await Promise.all(
        sets.map(async ({ x, y }) => {
          const there = { constants, dispatch: await dispatchOf(compiler, spec, { x, y }, [groups]) };
          const back = { constants, dispatch: await dispatchOf(compiler, spec, { x: y, y: x }, [groups]) };
          return hasResidual ? [there, back] : [there];
        }),
      );
      entrants.push(await entrant(COPY, copyWork(cell), null, steps));
    }
    return { entrants, failures, dispose };
  } catch (thrown) {
    dispose();
    throw thrown;
  }

  /** One run over fresh values; throws when it is not what float64 says. */
  async function check(
    member: NormId,
    theta: GpuBuffer,
    set: Buffers | undefined,
    dispatches: readonly Dispatch[],
  ): Promise<Entrant['error']> {
    if (!set) return null;
    gpu.write(set.x, values);
    gpu.write(theta, packedParams(member, C, normParams(member, C, 'checking')));
    await batcher.run([dispatches], 1);
    const { rows, columns, x, y } = expected(member, { T, C }, dtype, hasResidual);
    const sizeBytes = rowBytes(C, dtype);
    const read = async (buffer: GpuBuffer): Promise<Float32Array> => {
      const bytes = await gpu.read(rows.map((row) => ({ buffer, offsetBytes: row * sizeBytes, sizeBytes })));
      const got = new Float32Array(rows.length * columns);
      rows.forEach((_, r) => {
        const row = unpackedRow(bytes.slice(r * sizeBytes, (r + 1) * sizeBytes), dtype, C);
        got.set(row.subarray(0, columns), r * columns);
      });
      return got;
    };
    const error = errorAgainst(await read(set.y), y);
    const moved = hasResidual ? errorAgainst(await read(set.x), x) : null;
    gpu.write(set.x, values);
    if (isWrong(error, y, dtype)) throw wrong('its answer', error);
    if (moved && isWrong(moved, x, dtype)) throw wrong('x + delta', moved);
    return error;
  }
}

function wrong(what: string, { maxAbs, nanCount }: ErrorAgainst): RangeError {
  const nans = nanCount ? `, and ${nanCount} values are no numbers` : '';
  return new RangeError(`${what} is off by ${maxAbs.toPrecision(2)} from float64${nans}`);
}
