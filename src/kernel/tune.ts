// Which kernel computes a product: a default that needs no measurement, and a tuner that measures a handful of
// candidates on this device. What it finds is plain data; the caller keeps it and gives it back.
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { adapterName } from '../gpu/device.ts';
import type { AdapterDescription, Gpu, Machine } from '../gpu/device.ts';
import { SHADER_NAMES, shaderSource } from './compile.ts';
import type { Compiler } from './compile.ts';
import { dtypeWidth, fits, isMatmulId, MATMUL_IDS, MATMULS, matmulKernel } from './matmul.ts';
import type { MatmulId, MatmulShape } from './matmul.ts';

/** How many tokens a kernel is meant for, and how many it is measured with. */
export const TOKEN_CLASSES = { one: 1, few: 4, many: 128 } as const;
export type TokenClass = keyof typeof TOKEN_CLASSES;

/** A product that a program computes. Its epilogue does not decide which kernel is best. */
export type Product = Pick<MatmulShape, 'N' | 'K' | 'dtype'> & { readonly tokens: TokenClass };

/** What was found on one adapter with one state of the kernels: JSON. */
export type Tuning = {
  readonly adapter: string;
  /** SHA-256 of the kernels it was found with. */
  readonly sources: string;
  /** By productKey. */
  readonly choices: Readonly<Record<string, MatmulId>>;
};

export const productKey = ({ N, K, dtype, tokens }: Product): string => `${tokens}: ${N} x ${K}, ${dtype}`;

const AFFECTING = /^matmul\/|^lib\/(weight_|row_team)/;
let sources: string | undefined;
/** SHA-256 over the kernels a tuning speaks of. */
export function matmulSources(): string {
  const text = SHADER_NAMES.filter((name) => AFFECTING.test(name))
    .toSorted()
    .map((name) => `${name}\n${shaderSource(name)}`)
    .join('\n');
  sources ??= bytesToHex(sha256(utf8ToBytes(text + JSON.stringify(MATMULS))));
  return sources;
}

/** Where a choice is made: the machine, and whether a CPU plays the GPU. */
export type Place = { readonly machine: Machine; readonly adapter: AdapterDescription };

/** Lanes along K of a vector kernel: whole subgroups where there are any, and no more than K has quads. */
function vectorKernel(K: number, { subgroups }: Machine): 'gemv 32' | 'gemv 64' | 'gemv 256' {
  if (K >= 4096) return 'gemv 256';
  return (subgroups?.max ?? 0) > 32 || (!subgroups && K >= 512) ? 'gemv 64' : 'gemv 32';
}

/**
 * The kernel for a product that nobody measured. On a software adapter barriers are dear, so nothing is shared:
 * its subgroups are the lanes of a vector unit, and four of them along K are best for one token. On a GPU tiles,
 * small ones where large ones would be too few to fill it, and for few tokens lanes along K.
 */
export function defaultMatmul({ N, K, tokens }: Product, { machine, adapter }: Place): MatmulId {
  const widest = machine.subgroups?.max ?? 0;
  if (adapter.isFallback && tokens === 'one') return widest === 4 ? 'gemv 4' : 'plain';
  if (adapter.isFallback) return 'blocked';
  if (tokens === 'one') return vectorKernel(K, machine);
  if (tokens === 'few') return `${K >= 4096 || widest > 32 ? 'gemv 64' : 'gemv 32'}, 4 tokens`;
  return N <= 1024 ? 'tiled 32x32' : N <= 2048 ? 'tiled 64x64' : 'tiled 128x64';
}

/** The stored choice if it is of this adapter and these kernels and can host what is asked, else the default. */
export function chooseMatmul(
  product: Product,
  place: Place,
  tuning: Tuning | null,
  hasPrologue: boolean,
): MatmulId {
  const isOurs = tuning?.adapter === adapterName(place.adapter) && tuning.sources === matmulSources();
  const stored = isOurs ? tuning.choices[productKey(product)] : undefined;
  const usual = defaultMatmul(product, place);
  const choices = [stored, usual, MATMULS[usual].file === 'tiled' ? ('tiled 64x64' as const) : undefined];
  // What was stored outside may be anything.
  const able = choices.find((id) => id && isMatmulId(id) && fits(id, place.machine, hasPrologue));
  return able ?? 'blocked';
}

/** The kernels worth measuring for a product, the default first. */
export function candidates(product: Product, place: Place): MatmulId[] {
  const first = defaultMatmul(product, place);
  const { rows, file } = MATMULS[first];
  const others = MATMUL_IDS.filter((id) => {
    const form = MATMULS[id];
    if (id === first || !fits(id, place.machine, false)) return false;
    if (product.tokens === 'many') return form.file === 'blocked' || form.file === 'tiled';
    if (form.file === 'plain') return true;
    // Lanes along K that would find no quad are no help.
    const isUseful = form.file === 'gemv' && form.across <= Math.max(32, product.K / 4);
    return isUseful && (form.rows === rows || file !== 'gemv') && form.rows <= TOKEN_CLASSES[product.tokens];
  });
  return [first, ...others];
}

/** How long to measure. A contender must be better than the default by `margin`, or the default stays. */
export type TuneSpec = { readonly warmups: number; readonly rounds: number; readonly margin: number };
export const TUNE_SPEC: TuneSpec = { warmups: 1, rounds: 5, margin: 0.03 };

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Infinity;

/**
 * The fastest of `ids` (the first is the default) by the median of `measure`, any unit. Rounds are interleaved and
 * each starts one further on, so that a drifting clock speed meets all alike.
 */
export async function fastest(
  ids: readonly MatmulId[],
  measure: (id: MatmulId) => Promise<number>,
  { warmups, rounds, margin }: TuneSpec = TUNE_SPEC,
): Promise<MatmulId> {
  const samples = new Map(ids.map((id) => [id, [] as number[]]));
  for (let round = 0; round < warmups + rounds; round++) {
    const left = [...samples.keys()];
    for (const index of left.keys()) {
      const id = left[(index + round) % left.length];
      if (id === undefined) continue;
      const cost = await measure(id);
      if (round >= warmups) samples.get(id)?.push(cost);
    }
  }
  const [first = 'blocked'] = ids;
  const costOf = (id: MatmulId): number => median(samples.get(id) ?? []);
  const best = ids.reduce((a, b) => (costOf(b) < costOf(a) ? b : a), first);
  return costOf(best) < costOf(first) * (1 - margin) ? best : first;
}

/** One sample: dispatches until they take about this long, in one submit. */
const SAMPLE_MS = 4;
const MOST_DISPATCHES = 256;

/**
 * Measures every product that `ops` compute (a program's, say) and are not in `known`, by the wall clock around one
 * submit of many dispatches, and returns all choices. Buffers are its own, zeroed, and gone afterwards.
 */
export async function tuneProgram(
  gpu: Gpu,
  compiler: Compiler,
  ops: readonly { readonly product?: Product | undefined }[],
  {
    known = null,
    spec = TUNE_SPEC,
    signal,
    onProduct = () => undefined,
  }: {
    readonly known?: Tuning | null;
    readonly spec?: TuneSpec;
    readonly signal?: AbortSignal;
    readonly onProduct?: (done: number, of: number) => void;
  } = {},
): Promise<Tuning> {
  const adapter = adapterName(gpu.adapter);
  const isOurs = known?.adapter === adapter && known.sources === matmulSources();
  const choices: Record<string, MatmulId> = isOurs ? { ...known.choices } : {};
  const products = new Map(ops.flatMap(({ product }) => (product ? [[productKey(product), product]] : [])));
  const open = [...products].filter(([key]) => !(key in choices));
  for (const [index, [key, product]] of open.entries()) {
    onProduct(index, open.length);
    choices[key] = await tuneProduct(gpu, compiler, product, spec, signal);
  }
  onProduct(open.length, open.length);
  return { adapter, sources: matmulSources(), choices };
}

async function tuneProduct(
  gpu: Gpu,
  compiler: Compiler,
  product: Product,
  spec: TuneSpec,
  signal?: AbortSignal,
): Promise<MatmulId> {
  const { N, K, dtype, tokens } = product;
  const T = TOKEN_CLASSES[tokens];
  using x = gpu.buffer('tune.x', 'activations', T * K * 4);
  using w = gpu.buffer('tune.w', 'weights', N * 2 * Math.ceil(K / 2) * dtypeWidth(dtype));
  using bias = gpu.buffer('tune.bias', 'weights', N * 4);
  using y = gpu.buffer('tune.y', 'activations', T * N * 4);
  using run = gpu.buffer('tune.run', 'parameters', 16, GPUBufferUsage.UNIFORM);
  gpu.write(run, Uint32Array.of(T, 0));
  const dispatches = new Map<MatmulId, number>();
  const submitMs = async (id: MatmulId, count: number): Promise<number> => {
    const { spec: source, workgroups } = matmulKernel(id, product, gpu.machine);
    const kernel = await compiler.kernel(source);
    const groups = compiler.bind(kernel, { x, x4: x, w, bias, y, run });
    const encoder = gpu.device.createCommandEncoder({ label: 'tune' });
    const pass = encoder.beginComputePass();
    pass.setPipeline(kernel.pipeline);
    groups.forEach((group, index) => pass.setBindGroup(index, group));
    for (let i = 0; i < count; i++) pass.dispatchWorkgroups(...workgroups(T));
    pass.end();
    const startMs = performance.now();
    gpu.device.queue.submit([encoder.finish()]);
    await gpu.done();
    return performance.now() - startMs;
  };
  return await fastest(
    candidates(product, gpu),
    async (id) => {
      signal?.throwIfAborted();
      let count = dispatches.get(id);
      if (count === undefined) {
        await submitMs(id, 1); // compiles
        count = Math.ceil(Math.min(MOST_DISPATCHES, SAMPLE_MS / Math.max(0.01, (await submitMs(id, 8)) / 8)));
        dispatches.set(id, count);
      }
      return (await submitMs(id, count)) / count;
    },
    spec,
  );
}
