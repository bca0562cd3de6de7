// From a family's description to an ordered list of operations over a workspace's buffers.
import type { Gpu, GpuBuffer } from '../gpu/device.ts';
import {
  attentionVariant,
  causalAttention,
  partsBytes,
  rotate,
  rotateWorkgroups,
} from '../kernel/attention.ts';
import type { KernelSpec } from '../kernel/compile.ts';
import { gather, gatherWorkgroups } from '../kernel/embed.ts';
import { matmulBytes, matmulKernel } from '../kernel/matmul.ts';
import type { MatmulShape, Prologue } from '../kernel/matmul.ts';
import { drawKernels, finalistsBytes } from '../kernel/sample.ts';
import type { DrawForm } from '../kernel/sample.ts';
import { COLUMN_LANES, columnStatistics, normBytes, normKernel } from '../kernel/norm.ts';
import { chooseMatmul } from '../kernel/tune.ts';
import type { Product, Tuning } from '../kernel/tune.ts';
import { countsBytes, histogramProbe, statsBytes, tokenProbe } from '../kernel/probe.ts';
import { drawTableBytes } from './sample.ts';
import type { AttentionStep, Composer, EmbedStep, LinearStep, NormStep } from './compose.ts';
import { defaultFusion, foldLinear, NO_FUSION, WaitingNorms, withoutAffine } from './fusion.ts';
import type { Fusion, WaitingNorm } from './fusion.ts';
import type { Mode, Op, OpKind } from './op.ts';
import { resolveTheta } from './plan.ts';
import type { Plan, Site, Theta } from './plan.ts';
import { sitesOf } from './weights.ts';
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
  #added: { readonly to: string; readonly ops: number; readonly sendTo: (name: string) => void } | null =
    null;
  /** The matrix that tokens are looked up in. */
  #table = '';

  constructor(gpu: Gpu, weights: Weights, space: Workspace, plan: Plan, mode: Mode, tuning: Tuning | null) {
    this.#gpu = gpu;
    this.#weights = weights;
    this.#space = space;
    this.#plan = plan;
    this.#mode = mode;
    this.#sites = sitesOf(weights.checkpoint.config);
    this.#tuning = tuning;
    this.#fusion = mode.hasProbes
      ? NO_FUSION
      : (mode.fusion ?? defaultFusion(mode.kind, gpu.adapter.isFallback));
  }

  get #config(): Weights['checkpoint']['config'] {
    return this.#weights.checkpoint.config;
  }

  /** tokens[T] → to[T, C]. */
  embed(label: string, { table, positions, scale, to }: EmbedStep): void {
    const C = this.#config.n_embd;
    const { buffer, dtype } = this.#weights.matrix(table);
    this.#table = table;
    this.#norms.write(to);
    this.#push(label, 'embed', gather(C, dtype, positions !== undefined), {
      buffers: {
        tokens: this.#space.activation('tokens', 1),
        w: buffer,
        wpe: positions ? this.#weights.matrix(positions).buffer : this.#space.one,
        scale: scale ? this.#weights.vector(scale) : this.#space.one,
        y: this.#space.activation(to, C),
      },
      workgroups: (T) => gatherWorkgroups(C, T),
      bytes: (T) => T * C * ((dtype === 'f16' ? 2 : 4) + 4),
      flops: (T) => T * C,
    });
  }

  /** from[T, C] → to[T, C] by the plan's member at this site, and its probes where the mode has them. */
  norm(siteId: string, { from, to }: NormStep): void {
    const { n_embd: C } = this.#config;
    const sitePlan = this.#plan.sites[siteId];
    if (!sitePlan)
      throw new RangeError(`Cannot build the program: the plan says nothing of site "${siteId}"`);
    const theta = resolveTheta(sitePlan, C, (tensor) => this.#weights.values(`${siteId}.${tensor}`));
    this.thetas.set(siteId, theta);
    this.#norms.read(from);
    const norm = { siteId, block: this.block, from, to, theta };
    if ((this.#fusion.fold || this.#fusion.prologue) && !theta.isMeasured) return this.#norms.add(norm);
    this.#norms.write(to);
    this.#sendNorm(norm);
  }

  #sendNorm({ siteId, from, to, theta, block }: WaitingNorm): void {
    const { n_embd: C, norm_eps: eps } = this.#config;
    const thetaBuffer = this.#gpu.upload(`${siteId}.theta`, 'parameters', theta.values);
    this.owned.push(thetaBuffer);
    const x = this.#space.activation(from, C);
    const buffers = { x, theta: thetaBuffer, y: this.#space.activation(to, C) };
    if (theta.isMeasured) {
      this.#push(`${siteId}.columns`, 'norm', columnStatistics(theta.norm, C), {
        site: siteId,
        buffers: { x, theta: thetaBuffer },
        workgroups: () => [Math.ceil(C / COLUMN_LANES)],
        bytes: (T) => (T * C + 3 * C) * 4,
        flops: (T) => 8 * T * C,
      });
    }
    const hasResidual = this.#fusion.residual && !theta.isMeasured && this.#putAside(from);
    const shape = { C, eps, dtype: 'f32', form: 'tuned', hasResidual } as const;
    const { spec, workgroups } = normKernel(theta.norm, shape, this.#gpu.machine);
    this.#push(siteId, 'norm', spec, {
      site: siteId,
      block,
      ...(theta === this.thetas.get(siteId) ? { tap: { site: siteId, x, y: buffers.y } } : {}),
      buffers: hasResidual ? { ...buffers, delta: this.#space.activation('delta', C) } : buffers,
      workgroups,
      bytes: (T) => normBytes(theta.norm, shape, T),
      flops: (T) => 8 * T * C,
    });
    if (this.#mode.hasProbes) this.#probe(siteId, theta, buffers);
  }

  /** Has the operation just before, if it adds to `name`, write to delta instead. False if it does not add. */
  #putAside(name: string): boolean {
    const added = this.#added;
    if (added?.to !== name || added.ops !== this.ops.length) return false;
    this.ops.pop();
    added.sendTo('delta');
    return true;
  }

  #probe(siteId: string, theta: Theta, buffers: Readonly<Record<string, GpuBuffer>>): void {
    const { n_embd: C, norm_eps: eps } = this.#config;
    const index = this.#sites.findIndex((site) => site.id === siteId);
    const { rows } = this.#space;
    const probeBuffers = {
      ...buffers,
      token_stats: this.#space.probes('token_stats', statsBytes(this.#sites.length, rows)),
      counts: this.#space.probes('counts', countsBytes(this.#sites.length)),
      site: this.#space.site(index),
    };
    for (const [suffix, spec] of [
      ['token', tokenProbe(theta.norm, C, eps, rows)],
      ['histogram', histogramProbe(theta.norm, C, eps, rows)],
    ] as const) {
      this.#push(`${siteId}.${suffix}`, 'probe', spec, {
        site: siteId,
        buffers: probeBuffers,
        workgroups: (T) => [T],
        bytes: (T) => 2 * T * C * 4,
        flops: (T) => 20 * T * C,
      });
    }
  }

  /** from[T, K] → to[T, N]: to = gelu?(from · wᵀ + b), or added to what is there. */
  linear(label: string, shape: LinearStep): void {
    const { from, to, ...rest } = shape;
    const name = `${label}.weight`;
    const norm = this.#norms.take(from);
    const folded =
      norm && this.#fusion.fold && name !== this.#table
        ? foldLinear(this.#gpu, this.#weights, label, rest, norm.theta)
        : null;
    if (folded) this.owned.push(folded.matrix, folded.bias);
    const { buffer, dtype } = this.#weights.matrix(name);
    const full: MatmulShape = folded ? { ...rest, dtype: 'f32', hasBias: true } : { ...rest, dtype };
    // A kernel cannot read what it writes.
    const isFused = norm !== undefined && this.#fusion.prologue && norm.from !== to;
    const prologue: Prologue | undefined = isFused
      ? { norm: norm.theta.norm, eps: this.#config.norm_eps, hasAffine: !folded }
      : undefined;
    if (norm && !isFused)
      this.#sendNorm(folded ? { ...norm, theta: withoutAffine(norm.theta, full.K) } : norm);
    if (isFused || folded) this.#norms.spend(from);
    else this.#norms.read(from);
    this.#norms.write(to);
    const product: Product = { ...full, tokens: this.#mode.kind === 'decode' ? 'one' : 'many' };
    const id = chooseMatmul(product, this.#gpu, this.#tuning, isFused);
    const x = this.#space.activation(isFused ? norm.from : from, full.K);
    const theta = isFused ? this.#gpu.upload(`${norm.siteId}.theta`, 'parameters', norm.theta.values) : null;
    if (theta) this.owned.push(theta);
    const { block } = this;
    const send = (target: string, as: MatmulShape): void => {
      const { spec, workgroups } = matmulKernel(id, as, this.#gpu.machine, prologue);
      this.#push(label, 'matmul', spec, {
        ...(isFused ? { site: norm.siteId } : {}),
        block,
        product,
        buffers: {
          x,
          x4: x,
          w: folded?.matrix ?? buffer,
          bias: folded?.bias ?? (as.hasBias ? this.#weights.vector(`${label}.bias`) : this.#space.one),
          y: this.#space.activation(target, as.N),
          ...(theta ? { theta } : {}),
        },
        workgroups,
        bytes: (T) => matmulBytes(as, T, prologue),
        flops: (T) => 2 * T * as.N * as.K + (prologue ? 8 * T * as.K : 0),
      });
    };
    send(to, full);
    const sendTo = (target: string): void => send(target, { ...full, isAdded: false });
    if (full.isAdded) this.#added = { to, ops: this.ops.length, sendTo };
  }

  /** from[T, 3C] → to[T, C], causal, over the layer's cache. */
  attention(label: string, { layer, from, to }: AttentionStep): void {
    const { n_embd: C, n_head: H, position_embedding, rope_theta } = this.#config;
    const shape = { C, H, context: this.#space.rows };
    this.#norms.read(from);
    this.#norms.write(to);
    const qkv = this.#space.activation(from, 3 * C);
    const cache = this.#space.cache(layer, C);
    const isRotary = position_embedding === 'rope';
    this.#push(`${label}.rotate`, 'attention', rotate(shape, isRotary), {
      buffers: { qkv, turn: this.#space.rotary(C / H, rope_theta), cache },
      workgroups: (T) => rotateWorkgroups(shape, T),
      bytes: (T) => 7 * T * C * 4,
      flops: (T) => 6 * T * C,
    });
    const variant = attentionVariant(this.#mode.kind, shape, this.#gpu.adapter.isFallback);
    const parts = variant === 'slices' ? this.#space.scratch('parts', partsBytes(shape)) : this.#space.one;
    causalAttention(variant, shape).forEach(({ spec, workgroups }, round) =>
      this.#push(round === 0 ? label : `${label}.join`, 'attention', spec, {
        buffers: { qkv, cache, parts, y: this.#space.activation(to, C) },
        workgroups,
        bytes: (T, past) => (round === 0 ? (2 * T + 2 * (past + T)) * C * 4 : 0),
        flops: (T, past) => (round === 0 ? 4 * C * T * (past + (T + 1) / 2) : 0),
      }),
    );
  }

  /** logits[T, V] → tokens[past + T]. */
  draw(form: DrawForm): void {
    const { vocab_size: V } = this.#config;
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
      spec,
      buffers: { ...buffers, run: this.#space.run },
      ...counts,
    });
  }
}
