// From a family's description to an ordered list of operations over a workspace's buffers.
import type { Gpu, GpuBuffer } from '../gpu/device.ts';
import {
  attentionKernels,
  attentionVariant,
  keyWidth,
  partsBytes,
  rotate,
  rotateWorkgroups,
} from '../kernel/attention.ts';
import type { KernelSpec } from '../kernel/compile.ts';
import { gather, gatherWorkgroups, patchKernel, patchValues, placesKernel } from '../kernel/embed.ts';
import { gateKernel } from '../kernel/gate.ts';
import { dtypeWidth, matmulBytes, matmulKernel } from '../kernel/matmul.ts';
import type { MatmulShape, Prologue } from '../kernel/matmul.ts';
import { drawKernels, finalistsBytes } from '../kernel/sample.ts';
import type { DrawForm } from '../kernel/sample.ts';
import { columnBytes, columnStatistics, normBytes, normKernel } from '../kernel/norm.ts';
import { withOwn } from '../kernel/own.ts';
import { chooseMatmul } from '../kernel/tune.ts';
import type { Product, Tuning } from '../kernel/tune.ts';
import { drawTableBytes } from './sample.ts';
import { biasesOf, weightsOf } from './compose.ts';
import type {
  AttentionStep,
  Composer,
  EmbedStep,
  GateStep,
  ImageStep,
  LinearStep,
  NormStep,
} from './compose.ts';
import { defaultFusion, foldLinear, NO_FUSION, WaitingNorms, withoutAffine } from './fusion.ts';
import type { Fusion, WaitingNorm } from './fusion.ts';
import type { Model } from './model.ts';
import type { Mode, Op, OpKind } from './op.ts';
import { resolveTheta } from './plan.ts';
import type { Plan, Site, Theta } from './plan.ts';
import { attentionProbe, siteProbes } from './probes.ts';
import type { Workspace } from './workspace.ts';
import type { Weights } from './weights.ts';

/** Where a site's input and output lie right after its operation. */
export type Tap = { readonly site: string; readonly x: GpuBuffer; readonly y: GpuBuffer };

export type PendingOp = Op & {
  readonly spec: KernelSpec;
  readonly buffers: Readonly<Record<string, GpuBuffer>>;
  readonly tap: Tap | null;
};

/** Makes dispatches of a family's description. */
export class Builder implements Composer {
  readonly ops: PendingOp[] = [];
  readonly thetas = new Map<string, Theta>();
  readonly owned: GpuBuffer[] = [];
  /** Layer that the next operations belong to. */
  block: number | null = null;
  readonly #gpu: Gpu;
  readonly #weights: Weights;
  readonly #space: Workspace;
  readonly #plan: Plan;
  readonly #mode: Mode;
  readonly #sites: readonly Site[];
  readonly #tuning: Tuning | null;
  readonly #fusion: Fusion;
  readonly #norms = new WaitingNorms((norm) => this.#sendNorm(norm));
  /** The last Linear that added to an activation, and how to send it again as one that writes elsewhere. */
  #added: {
    readonly to: string;
    readonly begin: number;
    readonly end: number;
    readonly sendTo: (name: string) => void;
  } | null = null;
  /** The matrix that tokens are looked up in. */
  #table = '';

  constructor(gpu: Gpu, weights: Weights, space: Workspace, plan: Plan, mode: Mode, tuning: Tuning | null) {
    this.#gpu = gpu;
    this.#weights = weights;
    this.#space = space;
    this.#plan = plan;
    this.#mode = mode;
    this.#sites = weights.checkpoint.model.sites;
    this.#tuning = tuning;
    this.#fusion = mode.hasProbes
      ? NO_FUSION
      : (mode.fusion ?? defaultFusion(mode.kind, gpu.adapter.isFallback));
  }

  get #model(): Model {
    return this.#weights.checkpoint.model;
  }

  /** tokens[T] → to[T, C]; a table in several buffers is looked up in each of them. */
  embed(label: string, { table, positions, scale, types, to }: EmbedStep): void {
    const { C } = this.#model.dims;
    const matrix = this.#weights.matrix(table);
    const { dtype, parts } = matrix;
    this.#table = table;
    this.#norms.write(to);
    const { one } = this.#space;
    const vector = (name: string | undefined): GpuBuffer => (name ? this.#weights.vector(name) : one);
    for (const { buffer, first, N: count } of parts) {
      const part = parts.length > 1 ? { part: { first, count } } : {};
      const spec = gather({ C, dtype, isLearned: !!positions, isTyped: !!types, ...part });
      this.#push(label, 'embed', spec, {
        buffers: {
          tokens: this.#space.activation('tokens', 1),
          w: buffer,
          wpe: vector(positions),
          scale: vector(scale),
          types: types ? this.#space.activation('types', 1) : one,
          wtt: vector(types),
          y: this.#space.activation(to, C),
        },
        workgroups: (T) => gatherWorkgroups(C, T),
        bytes: (T) => (first === 0 ? T * C * (dtypeWidth(dtype) + 4) : 0),
        flops: (T) => (first === 0 ? T * C : 0),
      });
    }
  }

  /** pixels → to[1 + patches, C]. */
  image(label: string, { projection, classToken, positions, C, to, ...shape }: ImageStep): void {
    const K = patchValues(shape);
    const values = shape.channels * shape.image[0] * shape.image[1];
    this.#norms.write(to);
    const places = placesKernel(C);
    this.#push(`${label}.places`, 'embed', places.spec, {
      buffers: {
        wpe: this.#weights.vector(positions),
        class_token: this.#weights.vector(classToken),
        bias: this.#weights.vector(`${projection}.bias`),
        y: this.#space.activation(to, C),
      },
      workgroups: places.workgroups,
      bytes: (T) => 8 * T * C,
      flops: (T) => T * C,
    });
    const patches = patchKernel(shape);
    this.#push(`${label}.patches`, 'embed', patches.spec, {
      buffers: {
        pixels: this.#space.scratch('pixels', 4 * values),
        y: this.#space.activation('patches', K),
      },
      workgroups: patches.workgroups,
      bytes: (T) => 4 * (values + T * K),
      flops: () => 0,
    });
    this.linear(projection, { from: 'patches', K, to, N: C, isAdded: true });
  }

  /** from[T, C] → to[T, C] by the plan's member at this site, and its probes where the mode has them. */
  norm(siteId: string, { from, to, isKept = false }: NormStep): void {
    const { C } = this.#model.dims;
    const sitePlan = this.#plan.sites[siteId];
    if (!sitePlan)
      throw new RangeError(`Cannot build the program: the plan says nothing of site "${siteId}"`);
    const theta = resolveTheta(sitePlan, C, (tensor) => this.#weights.values(`${siteId}.${tensor}`));
    this.thetas.set(siteId, theta);
    this.#norms.read(from);
    const norm = { siteId, block: this.block, from, to, theta };
    const mayWait =
      (this.#fusion.fold || this.#fusion.prologue) && !theta.isMeasured && !theta.first && !isKept;
    if (mayWait) return this.#norms.add(norm);
    this.#norms.write(to);
    this.#sendNorm(norm);
  }

  #sendNorm({ siteId, from, to, theta, block }: WaitingNorm): void {
    const { C } = this.#model.dims;
    const { eps = this.#model.norm.eps } = theta;
    const thetaBuffer = this.#gpu.upload(`${siteId}.theta`, 'parameters', theta.values);
    this.owned.push(thetaBuffer);
    const x = this.#space.activation(from, C);
    const buffers = { x, theta: thetaBuffer, y: this.#space.activation(to, C) };
    const isSum = this.#fusion.residual && !theta.first && this.#putAside(from);
    const summed = isSum ? { ...buffers, delta: this.#space.activation('delta', C) } : buffers;
    if (theta.isMeasured) {
      const columns = { C, dtype: 'f32', hasResidual: isSum } as const;
      const { spec, workgroups } = columnStatistics(theta.norm, columns);
      this.#push(`${siteId}.columns`, 'norm', spec, {
        site: siteId,
        buffers: summed,
        workgroups,
        bytes: (T) => columnBytes(columns, T),
        flops: (T) => 8 * T * C,
      });
    }
    const hasResidual = isSum && !theta.isMeasured;
    const shape = { C, eps, dtype: 'f32', form: 'tuned', hasResidual } as const;
    const { spec, workgroups } = normKernel(theta.norm, shape, this.#gpu.machine);
    const tap = theta === this.thetas.get(siteId) ? { tap: { site: siteId, x, y: buffers.y } } : {};
    this.#push(siteId, 'norm', spec, {
      site: siteId,
      block,
      ...(theta.first ? {} : tap),
      buffers: summed,
      workgroups,
      bytes: (T) => normBytes(theta.norm, shape, T),
      flops: (T) => 8 * T * C,
    });
    const first = theta.first && this.#gpu.upload(`${siteId}.theta.first`, 'parameters', theta.first);
    if (first) {
      // Its row once more, by its own scalars; after cached tokens there is no first one.
      this.owned.push(first);
      this.#push(`${siteId}.first`, 'norm', spec, {
        site: siteId,
        block,
        ...tap,
        buffers: { ...buffers, theta: first, run: this.#space.firstRow },
        workgroups: (_T, past) => (past === 0 ? workgroups(1) : [0]),
        bytes: (_T, past) => (past === 0 ? normBytes(theta.norm, shape, 1) : 0),
        flops: (_T, past) => (past === 0 ? 8 * C : 0),
      });
    }
    if (this.#mode.hasProbes) this.#probe(siteId, theta, buffers, first);
  }

  /** Has the operation just before, if it adds to `name`, write to delta instead. False if it does not add. */
  #putAside(name: string): boolean {
    const added = this.#added;
    if (added?.to !== name || added.end !== this.ops.length) return false;
    this.ops.length = added.begin;
    added.sendTo('delta');
    return true;
  }

  #probe(
    siteId: string,
    theta: Theta,
    buffers: Readonly<Record<string, GpuBuffer>>,
    first: GpuBuffer | undefined,
  ): void {
    const ids = this.#sites.map(({ id }) => id);
    const { eps = this.#model.norm.eps, norm } = theta;
    const site = { siteId, ids, norm, C: this.#model.dims.C, eps };
    for (const { label, spec, ...rest } of siteProbes(this.#space, site, buffers, first))
      this.#push(label, 'probe', spec, { site: siteId, ...rest });
  }

  /** from[T, K] → to[T, N]: to = act(from · wᵀ + b), or added to what is there; a dispatch for each buffer of w. */
  linear(label: string, step: LinearStep): void {
    const { from, to, N, K, hasBias = false, act, isAdded = false } = step;
    const names = weightsOf(label, step);
    const norm = this.#norms.take(from);
    const own = `${label}.weight`;
    const canFold = this.#fusion.fold && !step.isTransposed && names[0] === own && own !== this.#table;
    const folded =
      norm && canFold && this.#weights.values(own)
        ? foldLinear(this.#gpu, this.#weights, label, { N, K, hasBias }, norm.theta)
        : null;
    if (folded) this.owned.push(folded.matrix, folded.bias);
    // A kernel cannot read what it writes.
    const isFused = norm !== undefined && this.#fusion.prologue && norm.from !== to;
    const prologue: Prologue | undefined = isFused
      ? { norm: norm.theta.norm, eps: norm.theta.eps ?? this.#model.norm.eps, hasAffine: !folded }
      : undefined;
    if (norm && !isFused) this.#sendNorm(folded ? { ...norm, theta: withoutAffine(norm.theta, K) } : norm);
    if (isFused || folded) this.#norms.spend(from);
    else this.#norms.read(from);
    if (isAdded) this.#norms.read(to);
    this.#norms.write(to);
    const x = this.#space.activation(isFused ? norm.from : from, K);
    const theta = isFused ? this.#gpu.upload(`${norm.siteId}.theta`, 'parameters', norm.theta.values) : null;
    if (theta) this.owned.push(theta);
    const bias = folded?.bias ?? (hasBias ? this.#weights.vector(...biasesOf(label, step)) : this.#space.one);
    const { dtype, parts } = folded
      ? ({ dtype: 'f32', parts: [{ buffer: folded.matrix, first: 0, N }] } as const)
      : this.#weights.matrix(...names);
    const { block } = this;
    const send = (target: string, adds: boolean): void => {
      const y = this.#space.activation(target, N);
      for (const { buffer, first, N: outputs } of parts) {
        const part = parts.length > 1 ? { part: { first, of: N } } : {};
        const biased = hasBias || folded !== null;
        const shape: MatmulShape = { N: outputs, K, dtype, act, isAdded: adds, hasBias: biased, ...part };
        const product: Product = {
          N: outputs,
          K,
          dtype,
          tokens: this.#mode.kind === 'decode' ? 'one' : 'many',
        };
        const id = chooseMatmul(product, this.#gpu, this.#tuning, isFused);
        const { spec, workgroups } = matmulKernel(id, shape, this.#gpu.machine, prologue);
        this.#push(label, 'matmul', spec, {
          ...(isFused ? { site: norm.siteId } : {}),
          block,
          product,
          buffers: { x, x4: x, w: buffer, bias, y, ...(theta ? { theta } : {}) },
          workgroups,
          bytes: (T) => matmulBytes(shape, T, prologue),
          flops: (T) => 2 * T * outputs * K + (prologue ? 8 * T * K : 0),
        });
      }
    };
    const begin = this.ops.length;
    send(to, isAdded);
    const sendTo = (target: string): void => send(target, false);
    if (isAdded) this.#added = { to, begin, end: this.ops.length, sendTo };
  }

  /** from[T, 2F] → to[T, F]. */
  gate(label: string, { from, to, F }: GateStep): void {
    this.#norms.read(from);
    this.#norms.write(to);
    const { spec, workgroups } = gateKernel(F);
    this.#push(label, 'gate', spec, {
      buffers: { x: this.#space.activation(from, 2 * F), y: this.#space.activation(to, F) },
      workgroups,
      bytes: (T) => 12 * T * F,
      flops: (T) => 5 * T * F,
    });
  }

  /** from[T, (H + 2G)D] → to[T, HD], over the layer's cache; where tokens see later ones it is the same for all layers. */
  attention(label: string, step: AttentionStep): void {
    const { layer, from, to, H, G, D, isCausal, scale = 1 / Math.sqrt(D), rope } = step;
    const C = H * D;
    const shape = { C, H, G, context: this.#space.rows, isCausal, scale };
    const KV = keyWidth(shape);
    this.#norms.read(from);
    this.#norms.write(to);
    const qkv = this.#space.activation(from, C + 2 * KV);
    const cache = this.#space.cache(isCausal ? layer : 0, KV);
    this.#push(`${label}.rotate`, 'attention', rotate(shape, rope !== undefined), {
      buffers: { qkv, turn: rope ? this.#space.rotary(D, rope) : this.#space.one, cache },
      workgroups: (T) => rotateWorkgroups(shape, T),
      bytes: (T) => (rope ? 2 * C + 4 * KV : 4 * KV) * T * 4,
      flops: (T) => (rope ? 3 * (C + KV) * T : 0),
    });
    const variant = attentionVariant(this.#mode.kind, shape, this.#gpu.adapter.isFallback);
    const parts = variant === 'slices' ? this.#space.scratch('parts', partsBytes(shape)) : this.#space.one;
    const keys = (T: number, past: number): number => past + (isCausal ? (T + 1) / 2 : T);
    attentionKernels(variant, shape).forEach(({ spec, workgroups }, round) =>
      this.#push(round === 0 ? label : `${label}.join`, 'attention', spec, {
        buffers: { qkv, cache, parts, y: this.#space.activation(to, C) },
        workgroups,
        bytes: (T, past) => (round === 0 ? (2 * T * C + 2 * (past + T) * KV) * 4 : 0),
        flops: (T, past) => (round === 0 ? 4 * C * T * keys(T, past) : 0),
      }),
    );
    if (!this.#mode.hasProbes) return;
    const y = this.#space.activation(to, C);
    const probe = attentionProbe(this.#space, { layer, L: this.#model.dims.L, ...shape }, { qkv, cache, y });
    this.#push(`${label}.entropy`, 'probe', probe.spec, probe);
  }

  /** logits[T, V] → tokens[past + T]. */
  draw(form: DrawForm): void {
    const { V } = this.#model.dims;
    const { rows } = this.#space;
    drawKernels(form, V, this.#gpu.adapter.isFallback).forEach(({ spec, workgroups }, round) =>
      this.#push(`draw.${round}`, 'sample', spec, {
        buffers: {
          logits: this.#space.activation('logits', V),
          draws: this.#space.scratch('draws', drawTableBytes(rows)),
          finalists: this.#space.scratch('finalists', finalistsBytes(V)),
          tokens: this.#space.activation('tokens', 1),
        },
        workgroups,
        bytes: () => (round === 0 ? 4 * V : 4),
        flops: () => (round === 0 ? V : 0),
      }),
    );
  }

  #push(
    label: string,
    kind: OpKind,
    spec: KernelSpec,
    rest: Pick<Op, 'workgroups' | 'bytes' | 'flops' | 'product'> & {
      site?: string;
      block?: number | null;
      tap?: Tap;
      buffers: Readonly<Record<string, GpuBuffer>>;
    },
  ): void {
    const { site = null, tap = null, block = this.block, buffers, ...counts } = rest;
    this.ops.push({
      label,
      kind,
      site,
      block,
      tap,
      spec: withOwn(spec, this.#plan.own),
      buffers: { run: this.#space.run, ...buffers },
      ...counts,
    });
  }
}
