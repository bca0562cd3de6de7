// What of a norm may go into the Linear after it, and the books kept of norms on their way there.
import type { Gpu, GpuBuffer } from '../gpu/device.ts';
import type { MatmulShape } from '../kernel/matmul.ts';
import { foldAffine } from '../norm/fold.ts';
import { thetaLayout } from '../norm/registry.ts';
import type { Theta } from './plan.ts';
import { padRows } from './weights.ts';
import type { Weights } from './weights.ts';

/** Exact algebra, each switched on its own. A site with probes or measured statistics is never fused. */
export type Fusion = {
  /**
   * γ and β go into the Linear. Its folded copy is f32, for f16 would round again: an f16 matrix is read at twice
   * its bytes. Never where the matrix is the embedding table too: the head would need a table of its own.
   */
  readonly fold: boolean;
  /** The norm is taken where the Linear reads x: its dispatch is gone, and 2TC values less cross memory. */
  readonly prologue: boolean;
  /**
   * The Linear before writes its product aside and the norm adds it to x. Against the Linear's own epilogue, which
   * adds where it writes, that is TC more values moved and no dispatch less: there to be measured.
   */
  readonly residual: boolean;
};

export const NO_FUSION: Fusion = { fold: false, prologue: false, residual: false };

/**
 * Decode on a GPU is bound by dispatches and by reading matrices: a norm costs a dispatch and next to no bytes.
 * Prefill is bound by arithmetic, and so is a software adapter always (decode there takes 1.4 to 2 times as long
 * fused): a norm in front of a product is taken again by every workgroup across it. Folding saves two loads a
 * channel and costs memory: nowhere worth it unasked.
 */
export const defaultFusion = (kind: 'prefill' | 'decode', isSoftware: boolean): Fusion => ({
  fold: false,
  prologue: kind === 'decode' && !isSoftware,
  residual: false,
});

/** A norm that was described and not yet sent: from[T, C] → to[T, C]. */
export type WaitingNorm = {
  readonly siteId: string;
  readonly block: number | null;
  readonly from: string;
  readonly to: string;
  readonly theta: Theta;
};

/**
 * Norms that wait for the Linear that reads them. Whoever else reads such an activation, or writes what the norm
 * reads, has the norm sent first, so that a fused program computes what its description says.
 */
export class WaitingNorms {
  readonly #waiting = new Map<string, WaitingNorm>();
  /** Activations that hold nothing, or a norm's output without γ and β. */
  readonly #spent = new Set<string>();
  readonly #send: (norm: WaitingNorm) => void;

  constructor(send: (norm: WaitingNorm) => void) {
    this.#send = send;
  }

  add(norm: WaitingNorm): void {
    this.write(norm.to);
    this.#waiting.set(norm.to, norm);
  }

  /** The norm that would have written `name`, no longer waiting: the caller sees to it. */
  take(name: string): WaitingNorm | undefined {
    const norm = this.#waiting.get(name);
    this.#waiting.delete(name);
    return norm;
  }

  /** `name` was fused away: it must be written before it is read again. */
  spend(name: string): void {
    this.#spent.add(name);
  }

  read(name: string): void {
    const norm = this.take(name);
    if (norm) this.#send(norm);
    if (this.#spent.has(name))
      throw new RangeError(`Cannot build the program: "${name}" went into the operation that read it first`);
  }

  write(name: string): void {
    for (const norm of this.#waiting.values()) if (norm.from === name) this.read(norm.to);
    this.#waiting.delete(name);
    this.#spent.delete(name);
  }
}

const part = ({ norm, values }: Theta, name: string, K: number): Float32Array => {
  const at = thetaLayout(norm, K).offsets[name] ?? 0;
  return values.subarray(at, at + K);
};

/** theta[P] with γ = 1 and β = 0. */
export function withoutAffine(theta: Theta, C: number): Theta {
  const values = theta.values.slice();
  part({ ...theta, values }, 'gamma', C).fill(1);
  part({ ...theta, values }, 'beta', C).fill(0);
  return { ...theta, values };
}

/** The Linear `label` with a norm's γ and β in it: W diag γ [N, K] in f32, and W β + b [N]. The caller disposes them. */
export function foldLinear(
  gpu: Gpu,
  weights: Weights,
  label: string,
  { N, K, hasBias = false }: Pick<MatmulShape, 'N' | 'K' | 'hasBias'>,
  theta: Theta,
): { readonly matrix: GpuBuffer; readonly bias: GpuBuffer } {
  const stored = weights.values(`${label}.weight`) ?? new Float32Array();
  const affine = { gamma: part(theta, 'gamma', K), beta: part(theta, 'beta', K) };
  const { matrix, shift } = foldAffine(stored, affine, N, K);
  const own = hasBias ? weights.values(`${label}.bias`) : undefined;
  const name = `${label}.weight.folded`;
  const bytes = new Uint8Array(matrix.buffer);
  return {
    matrix: gpu.upload(name, 'weights', padRows({ name, dtype: 'F32', shape: [N, K], bytes })),
    bias: gpu.upload(
      `${label}.bias.folded`,
      'weights',
      shift.map((value, n) => value + (own?.[n] ?? 0)),
    ),
  };
}
