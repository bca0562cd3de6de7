// A bound checkpoint of the transformers library as a model that can run: matrices stay where they are until a device
// asks for them, everything smaller is kept as it streams by.
import type { Dtype, Tensor } from '../format/safetensors.ts';
import { readTensor, streamTensors } from '../format/tensors.ts';
import type { IndexedTensor, TensorIndex } from '../format/tensors.ts';
import type { Source } from '../format/source.ts';
import { Problem } from '../problem.ts';
import type { Blueprint } from './family.ts';
import type { BoundModel } from './hf.ts';
import { matricesOf, tokenTables } from './matrices.ts';
import type { Checkpoint, Stored } from './model.ts';
import { commonest } from './plan.ts';

/** Activations are allocated for the whole context: more would be memory that few prompts use. */
const MOST_ROWS = 2048;
const MOST_ACTIVATION_BYTES = 2 ** 28;

/**
 * Tokens at once: what the family allows, within what one buffer of `mostBytes` holds of the widest activation.
 * Throws Problem `unsupported` where not even one image fits, or for heads of an odd width.
 */
export function contextOf(blueprint: Blueprint, mostBytes: number): number {
  const { dims, context, image, isGated, family } = blueprint;
  const { C, H, G, D, F, V } = dims;
  const unsupported = (reason: string): Problem =>
    new Problem('unsupported', `Cannot run this ${family} model: ${reason}`, 'Choose another model.');
  if (D % 2 !== 0) throw unsupported(`a head has ${D} channels, and an odd number is not supported`);
  const widest = Math.max(V, F * (isGated ? 2 : 1), (H + 2 * G) * D, C);
  const fitting = Math.floor(Math.min(mostBytes, MOST_ACTIVATION_BYTES) / (4 * widest));
  if (fitting < 1 || (image && fitting < context))
    throw unsupported('its activations are larger than a buffer of this adapter');
  return image ? context : Math.min(context, MOST_ROWS, fitting);
}

const text = new TextEncoder();

/** What tells these weights from any others: a digest over all that was read, in the files' order. */
async function digestOf(parts: readonly Uint8Array[]): Promise<string> {
  const whole = new Blob([...parts] as BlobPart[]);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await whole.arrayBuffer()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class OpenedCheckpoint implements Checkpoint {
  readonly model: Blueprint;
  readonly context: number;
  readonly vocabSize: number;
  readonly norm: Checkpoint['norm'];
  readonly file: Checkpoint['file'];
  readonly streamed: NonNullable<Checkpoint['streamed']>;
  readonly stored: Stored;
  #sha256: string | undefined;

  /** Nothing is read yet; `context` as contextOf says. */
  constructor(source: Source, index: TensorIndex, bound: BoundModel, context: number, config: Uint8Array) {
    const { blueprint, sites } = bound;
    const [first] = sites;
    if (!first) throw new RangeError('Cannot open a model without norms');
    this.model = { ...blueprint, sites: sites.map(({ site, norm }) => ({ ...site, norm })) };
    this.context = context;
    const { words } = tokenTables(blueprint);
    this.vocabSize = bound.tensors.get(words ?? '')?.shape[0] ?? 1;
    this.norm = blueprint.norm.isStated
      ? blueprint.norm.native
      : commonest(
          sites.map(({ norm }) => norm),
          first.norm,
        );
    const named = new Map<string, { readonly name: string; readonly tensor: IndexedTensor }>();
    for (const [name, tensor] of bound.tensors) named.set(tensor.name, { name, tensor });
    for (const { site, tensors } of sites)
      for (const [name, tensor] of tensors) named.set(tensor.name, { name: `${site.id}.${name}`, tensor });
    const byFamily = new Map([...named.values()].map(({ name, tensor }) => [name, tensor.name] as const));
    const stems = new Map(
      sites.flatMap(({ site, tensors }) => {
        const [tensor] = tensors.values();
        return tensor ? [[site.id, tensor.name.slice(0, tensor.name.lastIndexOf('.'))] as const] : [];
      }),
    );
    this.stored = {
      native: blueprint.norm.native,
      config: JSON.parse(new TextDecoder().decode(config)) as Record<string, unknown>,
      nameOf: (name) => {
        const dot = name.lastIndexOf('.');
        const stem = stems.get(name.slice(0, dot));
        // A site's parameters by their names of now: older files say gamma and beta.
        return stem === undefined ? (byFamily.get(name) ?? name) : stem + name.slice(dot);
      },
    };
    const used = new Set([...matricesOf(blueprint).values()].flatMap(({ parts }) => parts));
    const kept = new Map<string, Tensor>();
    this.file = { file: index.label, tensors: kept, metadata: {} };
    const matrices = [...named.values()].filter(({ name }) => used.has(name));
    const digest = (bytes: Uint8Array): Promise<ArrayBuffer> =>
      crypto.subtle.digest('SHA-256', bytes as BufferSource);
    const setDigest = async (parts: readonly Uint8Array[]): Promise<void> => {
      this.#sha256 ??= await digestOf(parts);
    };
    const knowsDigest = (): boolean => this.#sha256 !== undefined;
    this.streamed = {
      dtypes: new Map<string, Dtype>(matrices.map(({ name, tensor }) => [name, tensor.dtype])),
      shapes: new Map(matrices.map(({ name, tensor }) => [name, tensor.shape])),
      one: async (name) => {
        const found = matrices.find((one) => one.name === name);
        return found ? { ...(await readTensor(source, found.tensor)), name } : null;
      },
      async *read({ onProgress, signal } = {}) {
        const seen: Uint8Array[] = [config];
        const options = {
          wants: (name: string) => named.has(name),
          ...(onProgress ? { onProgress } : {}),
          ...(signal ? { signal } : {}),
        };
        for await (const tensor of streamTensors(source, index, options)) {
          const name = named.get(tensor.name)?.name ?? tensor.name;
          if (!knowsDigest()) {
            seen.push(text.encode(`${name} ${tensor.dtype} ${tensor.shape.join()}`));
            seen.push(new Uint8Array(await digest(tensor.bytes)));
          }
          if (used.has(name)) yield { ...tensor, name };
          else kept.set(name, { ...tensor, name });
        }
        await setDigest(seen);
      },
    };
  }

  /** SHA-256 over the configuration and every tensor that is used; once they were all read. */
  get sha256(): string {
    if (this.#sha256 === undefined) throw new RangeError('Cannot tell the digest: nothing was read yet');
    return this.#sha256;
  }
}

/** A checkpoint with all of its tensors on the CPU. */
export async function onCpu(checkpoint: Checkpoint): Promise<Checkpoint> {
  const { model, context, vocabSize, norm, file, streamed } = checkpoint;
  if (!streamed) return checkpoint;
  const matrices = new Map<string, Tensor>();
  for await (const tensor of streamed.read()) matrices.set(tensor.name, tensor);
  const tensors = new Map([...file.tensors, ...matrices]);
  return { model, context, vocabSize, norm, file: { ...file, tensors } };
}
