// How much an error of a site's output weighs: by what the matrices that read it make of it.
import { toFloat32 } from '../format/safetensors.ts';
import { Problem } from '../problem.ts';
import type {
  AttentionStep,
  Composer,
  EmbedStep,
  GateStep,
  ImageStep,
  LinearStep,
  NormStep,
} from '../model/compose.ts';
import { weightsOf } from '../model/compose.ts';
import type { Checkpoint, Model } from '../model/model.ts';

/** Products that one matrix may take. */
const MOST_WORK = 2 ** 30;

/** A matrix [N, K]: its tensors, one below the other; `isHead` if it makes the logits. */
type Reader = {
  readonly parts: readonly string[];
  readonly isTransposed: boolean;
  readonly isHead: boolean;
};

class Readers implements Composer {
  block: number | null = null;
  readonly found = new Map<string, Reader[]>();
  /** The site whose output a name holds. */
  readonly #held = new Map<string, string>();

  norm(site: string, { to }: NormStep): void {
    this.found.set(site, []);
    this.#held.set(to, site);
  }
  linear(label: string, step: LinearStep): void {
    const site = this.#held.get(step.from);
    const { isTransposed = false } = step;
    const parts = weightsOf(label, step);
    if (site !== undefined) this.found.get(site)?.push({ parts, isTransposed, isHead: step.to === 'logits' });
    this.#held.delete(step.to);
  }
  embed(_label: string, { to }: EmbedStep): void {
    this.#held.delete(to);
  }
  image(_label: string, { to }: ImageStep): void {
    this.#held.delete(to);
  }
  gate(_label: string, { to }: GateStep): void {
    this.#held.delete(to);
  }
  attention(_label: string, { to }: AttentionStep): void {
    this.#held.delete(to);
  }
}

/** By site, the matrices that its output is multiplied with next. */
export function readersOf(model: Pick<Model, 'compose'>): ReadonlyMap<string, readonly Reader[]> {
  const readers = new Readers();
  model.compose(readers);
  return readers.found;
}

/**
 * M [C, C] = Σ WᵀW over a site's readers W [N, C], so that eᵀ M e is the square of what they make of an error e; float64.
 * Layer-wise reconstruction weighs so (Frantar, Alistarh 2022, arXiv:2208.11580, eq. 2). Logits are taken without what
 * all of a token share, which softmax does not see. Undefined where nothing reads the output as it is.
 */
export async function metricOf(
  { model, file, streamed }: Pick<Checkpoint, 'model' | 'file' | 'streamed'>,
  readers: readonly Reader[],
): Promise<Float64Array | undefined> {
  const { C } = model.dims;
  if (!readers.length) return undefined;
  const metric = new Float64Array(C * C);
  for (const { parts, isTransposed, isHead } of readers)
    for (const name of parts) {
      const tensor = file.tensors.get(name) ?? (await streamed?.one(name));
      if (!tensor)
        throw new Problem('bad-file', `Cannot fit: tensor "${name}" is missing`, 'Open the model again.');
      const values = toFloat32(tensor);
      const N = values.length / C;
      // Of the rows of a large vocabulary some, evenly apart, stand for all.
      const stride = Math.ceil((N * C * C) / MOST_WORK);
      const count = Math.ceil(N / stride);
      const mean = new Float64Array(C);
      for (let n = 0; n < N; n += stride) {
        for (let c = 0; c < C; c++) {
          const w = values[isTransposed ? c * N + n : n * C + c] ?? 0;
          mean[c] = (mean[c] ?? 0) + w / count;
          for (let d = 0; d <= c; d++) {
            const at = c * C + d;
            metric[at] = (metric[at] ?? 0) + stride * w * (values[isTransposed ? d * N + n : n * C + d] ?? 0);
          }
        }
      }
      if (!isHead) continue;
      for (let c = 0; c < C; c++)
        for (let d = 0; d <= c; d++)
          metric[c * C + d] = (metric[c * C + d] ?? 0) - stride * count * (mean[c] ?? 0) * (mean[d] ?? 0);
    }
  for (let c = 0; c < C; c++) for (let d = c + 1; d < C; d++) metric[c * C + d] = metric[d * C + c] ?? 0;
  return metric;
}
