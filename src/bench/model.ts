// The suite of whole models: a cell a prompt length to prefill and a cache length to decode after; in it every entry
// as a program of its own. After the cells: where the time of a forward goes, and what a program allocates.
import type { GpuClock } from '../gpu/clock.ts';
import { PURPOSES } from '../gpu/device.ts';
import { Batcher } from '../kernel/batch.ts';
import type { Dispatch } from '../kernel/batch.ts';
import type { Tuning } from '../kernel/tune.ts';
import { splitWeightsId } from '../model/catalog.ts';
import type { Plan } from '../model/plan.ts';
import { NO_FUSION } from '../model/fusion.ts';
import { Program } from '../model/program.ts';
import type { Mode } from '../model/program.ts';
import { sitesOf } from '../model/model.ts';
import { Weights } from '../model/weights.ts';
import type { Checkpoint } from '../model/model.ts';
import { Workspace } from '../model/workspace.ts';
import { normSpec } from '../norm/registry.ts';
import { kernelInfo } from './kernel-info.ts';
import type { Bench, Work } from './roofline.ts';
import { REFERENCE } from './spec.ts';
import type { Breakdown, Cell, ContestantInfo, Fusion, MemoryRow, ModelEntry, ModelSpec } from './spec.ts';
import { median, medianInterval } from './statistics.ts';
import type { Baselines, Draft, Entrant, OpenCell, PlannedCell, PlannedSuite } from './suite.ts';
import { timedForward } from './timings.ts';
import { UserRuns, userDraw } from './user.ts';

/** What a model needs besides the device: its checkpoint, and its weights and buffers there. */
export type Models = {
  readonly checkpoint: (weights: string) => Promise<Checkpoint>;
  readonly weights: (id: string, checkpoint: Checkpoint) => Promise<Weights>;
  readonly space: (checkpoint: Checkpoint) => Workspace;
  /** Which kernel computes which product, where that was measured. */
  readonly tuning: Tuning | null;
  /** With room for every operation; null without stamps. */
  readonly opClock: GpuClock | null;
};

type Candidate = ModelEntry & { readonly fusion: Fusion; readonly info: ContestantInfo };
type Forward = { readonly kind: Mode['kind']; readonly T: number; readonly past: number };
type Built = { readonly program: Program; readonly space: Workspace; readonly checkpoint: Checkpoint };

const BREAKDOWN_FORWARDS = 20;
const BREAKDOWN_MS = 3000;

/** The member on all sites of its weights: as trained, or swapped in. */
export function entryPlan({ weights, norm }: ModelEntry, checkpoint: Checkpoint): Plan {
  const source = splitWeightsId(weights).norm === norm ? 'twin' : 'raw';
  return {
    weights,
    sites: Object.fromEntries(sitesOf(checkpoint).map(({ id }) => [id, { norm, source, alphaScale: 1 }])),
  };
}

function candidate({ weights, norm }: ModelEntry, fusion: Fusion): Candidate {
  const trained = splitWeightsId(weights).norm;
  const how = trained === norm ? 'twin' : `raw on ${normSpec(trained).label}`;
  const isSeparate = fusion === 'separate';
  return {
    weights,
    norm,
    fusion,
    info: {
      id: `${norm} on ${weights}${isSeparate ? '' : ` ${fusion}`}`,
      label: `${normSpec(norm).label} · ${how}${isSeparate ? '' : ` · ${fusion}`}`,
      engine: 'ours',
      engineName: null,
      member: norm,
      form: null,
      fusion,
      weights,
    },
  };
}

/** Token ids without a meaning, the same for everyone. */
export const promptOf = (T: number, { vocabSize }: Checkpoint): number[] =>
  Array.from({ length: T }, (_, t) => (7919 * t + 13) % vocabSize);

/** Workgroups of an operation, which may depend on the cache. */
function gridOf(
  { workgroups }: { readonly workgroups: (T: number, past: number) => Dispatch['workgroups'] },
  { T, past }: Forward,
): Dispatch['workgroups'] {
  return workgroups(T, past);
}

/** The program's dispatches for T tokens after `past`; an operation of no workgroups is none. */
function dispatchesOf({ ops }: Program, forward: Forward): Dispatch[] {
  return ops.flatMap((op) => {
    const workgroups = gridOf(op, forward);
    return workgroups[0] === 0 ? [] : [{ kernel: op.kernel, groups: op.groups, workgroups }];
  });
}

function workOf({ ops }: Program, forward: Forward, dispatches: number): Work {
  const { T, past } = forward;
  const bytesMin = ops.reduce((sum, op) => sum + op.bytes(T, past), 0);
  const flops = ops.reduce((sum, op) => sum + op.flops(T, past), 0);
  return { dispatches, bytesMin, flops, bends: 0, footprintBytes: bytesMin };
}

export class ModelSuite {
  readonly #spec: ModelSpec;
  readonly #bench: Bench;
  readonly #models: Models;
  readonly #baselines: Baselines | null;
  readonly #candidates: readonly Candidate[];

  constructor(spec: ModelSpec, bench: Bench, models: Models, baselines: Baselines | null) {
    this.#spec = spec;
    this.#bench = bench;
    this.#models = models;
    this.#baselines = baselines;
    this.#candidates = spec.entries.flatMap((entry) =>
      spec.fusions.map((fusion) => candidate(entry, fusion)),
    );
  }

  /** Builds every program once, so that what it must do is known before anything is measured. */
  async plan(): Promise<PlannedSuite> {
    const { prompts, decodes } = this.#spec;
    const forwards: Forward[] = [
      ...prompts.map((T): Forward => ({ kind: 'prefill', T, past: 0 })),
      ...decodes.map((past): Forward => ({ kind: 'decode', T: 1, past })),
    ];
    const cells: PlannedCell[] = [];
    for (const forward of forwards) cells.push(await this.#planCell(forward));
    return { cells, finish: (draft, signal) => this.#finish(forwards, cells, draft, signal) };
  }

  async #planCell(forward: Forward): Promise<PlannedCell> {
    const { kind, T, past } = forward;
    const id = kind === 'prefill' ? `prefill of ${T}` : `decode after ${past}`;
    const plan: { info: ContestantInfo; work: Work }[] = [];
    const widths = new Set<number>();
    for (const one of this.#candidates) {
      const { info, weights } = one;
      widths.add((await this.#models.checkpoint(weights)).model.dims.C);
      try {
        const { program } = await this.#build(one, forward);
        using _program = program;
        plan.push({ info, work: workOf(program, forward, dispatchesOf(program, forward).length) });
      } catch (thrown) {
        if (!(thrown instanceof RangeError)) throw thrown; // told as a failure when the cell opens
      }
    }
    const [width] = widths;
    const cell: Cell = {
      id,
      phase: kind,
      T,
      past,
      C: widths.size === 1 && width ? width : null,
      dtype: null,
      hasResidual: false,
      regime: null,
    };
    const reference = this.#candidates.find(({ norm }) => norm === REFERENCE) ?? this.#candidates[0];
    return {
      cell,
      plan,
      reference: reference?.info.id ?? '',
      open: (_roofline, signal) => this.#open(cell, forward, signal),
    };
  }

  /** Throws RangeError when the model cannot run this forward. */
  async #build(
    { weights, norm, fusion }: Candidate,
    { kind, T, past }: Forward,
    isDrawing = false,
  ): Promise<Built> {
    const { gpu, compiler } = this.#bench;
    const checkpoint = await this.#models.checkpoint(weights);
    if (T + past > checkpoint.context)
      throw new RangeError(`its context is ${checkpoint.context} tokens and ${T + past} are asked for`);
    const space = this.#models.space(checkpoint);
    const draw = isDrawing ? { draw: userDraw(checkpoint.model.dims.V) } : {};
    const mode: Mode = { kind, hasProbes: false, fusion: { ...NO_FUSION, [fusion]: true }, ...draw };
    const onDevice = await this.#models.weights(weights, checkpoint);
    const plan = entryPlan({ weights, norm }, checkpoint);
    const { tuning } = this.#models;
    const program = await Program.build(gpu, compiler, onDevice, space, plan, mode, tuning);
    if (past > 0 && !program.isCausal) {
      program[Symbol.dispose]();
      throw new RangeError('its statistics are of the whole prompt: there is no decoding from a cache');
    }
    return { program, space, checkpoint };
  }

  async #open(cell: Cell, forward: Forward, signal: AbortSignal | undefined): Promise<OpenCell> {
    const entrants: Entrant[] = [];
    const failures: OpenCell['failures'][number][] = [];
    const owned: Disposable[] = [];
    let theirs: OpenCell | null = null;
    const dispose = async (): Promise<void> => {
      for (const one of owned) one[Symbol.dispose]();
      await theirs?.dispose();
    };
    try {
      for (const one of this.#candidates) {
        signal?.throwIfAborted();
        try {
          const built = await this.#build(one, forward);
          owned.push(built.program);
          const entrant = await this.#entrant(one.info, built, forward);
          if (!this.#spec.levels.includes('user')) {
            entrants.push(entrant);
            continue;
          }
          const { program: drawing, space } = await this.#build(one, forward, true);
          const runs = new UserRuns(this.#bench.gpu, drawing, space, forward.T, forward.past);
          owned.push(drawing, runs);
          const { length: dispatches } = dispatchesOf(drawing, forward);
          entrants.push({ ...entrant, user: { run: (n) => runs.run(n), dispatches } });
        } catch (thrown) {
          if (!(thrown instanceof RangeError)) throw thrown;
          failures.push({ cell: cell.id, contestant: one.info.id, reason: thrown.message });
        }
      }
      const { baselines: engines, entries } = this.#spec;
      if (this.#baselines && engines.length)
        theirs = await this.#baselines({ engines, cell, members: [], entries });
      return {
        entrants: [...entrants, ...(theirs?.entrants ?? [])],
        failures: [...failures, ...(theirs?.failures ?? [])],
        dispose,
      };
    } catch (thrown) {
      await dispose();
      throw thrown;
    }
  }

  async #entrant(info: ContestantInfo, { program, checkpoint }: Built, forward: Forward): Promise<Entrant> {
    const { gpu, clock } = this.#bench;
    const { T, past } = forward;
    const fresh = promptOf(past + T, checkpoint).slice(past);
    const batcher = new Batcher(gpu, clock);
    const runs = [dispatchesOf(program, forward)];
    // The run's uniform and the tokens lie in the workspace that entries share: once for all of the cell.
    program.submit(fresh, past);
    await batcher.run(runs, 1);
    const kernels = program.ops.map(({ kernel }) => kernelInfo(kernel, {}));
    return {
      id: info.id,
      info,
      kernels: kernels.filter(({ id }, i) => kernels.findIndex((other) => other.id === id) === i),
      work: workOf(program, forward, batcher.dispatches),
      error: null,
      run: (n) => batcher.run(runs, n),
    };
  }

  async #finish(
    forwards: readonly Forward[],
    cells: readonly PlannedCell[],
    draft: Draft,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    for (const [index, forward] of forwards.entries())
      for (const one of this.#candidates) {
        const { cell } = cells[index] ?? {};
        if (signal?.aborted || !cell) return;
        if (draft.failures.some((f) => f.cell === cell.id && f.contestant === one.info.id)) continue;
        const found = await this.#breakdown(cell.id, one, forward, signal);
        if (found) draft.breakdowns.push(found);
      }
    for (const one of this.#candidates) {
      if (signal?.aborted) return;
      const forward = forwards.find(
        (_, i) => !draft.failures.some((f) => f.cell === cells[i]?.cell.id && f.contestant === one.info.id),
      );
      if (forward) draft.memory.push(await this.#memory(one, forward));
    }
  }

  /** Forwards in which every operation is a pass of its own. */
  async #breakdown(
    cell: string,
    one: Candidate,
    forward: Forward,
    signal: AbortSignal | undefined,
  ): Promise<Breakdown | null> {
    const { opClock } = this.#models;
    const { T, past } = forward;
    const { program, checkpoint } = await this.#build(one, forward);
    using _program = program;
    if (!opClock || opClock.capacity < program.ops.length) return null;
    const fresh = promptOf(past + T, checkpoint).slice(past);
    const stampsOf: (readonly bigint[])[] = [];
    const startMs = performance.now();
    await timedForward(this.#bench.gpu, program, fresh, null, past);
    while (
      stampsOf.length < BREAKDOWN_FORWARDS &&
      (stampsOf.length < 5 || performance.now() - startMs < BREAKDOWN_MS)
    ) {
      if (signal?.aborted) return null;
      stampsOf.push((await timedForward(this.#bench.gpu, program, fresh, opClock, past)).stamps);
    }
    const usOf = (stamps: readonly bigint[], index: number): number | null => {
      const [begin, end] = [stamps[2 * index], stamps[2 * index + 1]];
      return begin !== undefined && end !== undefined && end >= begin ? Number(end - begin) / 1e3 : null;
    };
    const operations = program.ops.map(({ label, kind, site, block, bytes, flops, ...op }, index) => ({
      label,
      kind,
      site,
      layer: block,
      dispatches: gridOf(op, forward)[0] === 0 ? 0 : 1,
      bytesMin: bytes(T, past),
      flops: flops(T, past),
      samplesUs: stampsOf.map((stamps) => usOf(stamps, index)),
    }));
    const shares = stampsOf.map((_, i) => {
      const total = (isCounted: (kind: string) => boolean): number =>
        operations.reduce((sum, op) => sum + (isCounted(op.kind) ? (op.samplesUs[i] ?? 0) : 0), 0);
      return total((kind) => kind === 'norm') / total(() => true);
    });
    const finite = shares.filter(Number.isFinite);
    const { confidence, seed } = this.#spec;
    const last = stampsOf.at(-1) ?? [];
    const first = last[0] ?? 0n;
    return {
      cell,
      contestant: one.info.id,
      tier: 'one pass per operation',
      operations,
      traceUs: operations.map((_, i): [number, number] => [
        Number((last[2 * i] ?? first) - first) / 1e3,
        Number((last[2 * i + 1] ?? first) - first) / 1e3,
      ]),
      normShare: finite.length
        ? { share: median(finite), ci: medianInterval(finite, { confidence, seed }) }
        : null,
    };
  }

  /** Everything that one program needs, allocated anew beside nothing else of its kind. */
  async #memory(one: Candidate, { kind, T }: Forward): Promise<MemoryRow> {
    const { gpu, compiler } = this.#bench;
    const checkpoint = await this.#models.checkpoint(one.weights);
    const { context: rows, model } = checkpoint;
    const { V } = model.dims;
    await gpu.done();
    gpu.resetPeak();
    const before = gpu.memory();
    using weights = await Weights.load(gpu, checkpoint);
    using space = new Workspace(gpu, rows);
    const plan = entryPlan(one, checkpoint);
    using program = await Program.build(gpu, compiler, weights, space, plan, { kind, hasProbes: false });
    program.submit(promptOf(T, checkpoint), 0);
    await gpu.read([{ buffer: space.activation('logits', V), sizeBytes: V * 4 }]);
    const after = gpu.memory();
    return {
      contestant: one.info.id,
      member: one.norm,
      rows,
      allocatedBytes: after.currentBytes - before.currentBytes,
      peakBytes: after.peakBytes - before.currentBytes,
      bytesByPurpose: Object.fromEntries(
        PURPOSES.map((purpose) => [
          purpose,
          after.peakBytesByPurpose[purpose] - before.peakBytesByPurpose[purpose],
        ]),
      ) as MemoryRow['bytesByPurpose'],
      normBytes: [...program.thetas.values()].reduce((sum, { values }) => sum + values.byteLength, 0),
    };
  }
}
