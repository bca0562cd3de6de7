// Ours beside onnxruntime's engines, round by round in random order, so that what the machine does meanwhile falls
// on all alike.
import { summarize } from '../bench/summary.ts';
import { BASELINE_IDS, BASELINES, countDispatches, openBaseline } from '../onnx/baseline.ts';
import type { Baseline } from '../onnx/baseline.ts';
import { maxDifference } from '../onnx/judge.ts';
import type { Contender } from './api.ts';

const WARMUPS = 2;
const ATTEMPTS = 4;

type Runner = Pick<Baseline, 'name' | 'run'> & {
  readonly logits: Float32Array;
  readonly dispatches: number;
  readonly samples: number[];
};

async function prepare({ name, run, readLogits }: Omit<Baseline, 'dispose'>): Promise<Runner> {
  const logits = await readLogits(); // the first run compiles, the second captures
  for (let i = 0; i < WARMUPS; i++) await run();
  return { name, run, logits, dispatches: await countDispatches(run), samples: [] };
}

/**
 * A baseline that has run, or why there is none. Tried anew a few times: the native EP of 1.30.0 now and then loses
 * its own output buffer on a first run ("gpuBufferMetadata" of undefined) and keeps it on the next.
 */
async function enter(
  open: () => Promise<Baseline>,
): Promise<{ baseline: Baseline; runner: Runner } | { reason: string }> {
  let reason = '';
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    let baseline: Baseline | undefined;
    try {
      baseline = await open();
      return { baseline, runner: await prepare(baseline) };
    } catch (thrown) {
      reason = thrown instanceof Error ? thrown.message : String(thrown);
      if (!baseline) break; // the engine refused the graph: it will again
      await baseline.dispose();
    }
  }
  return { reason };
}

/** `signal` is looked at between forwards; `say` tells what is going on. */
export async function contest(
  ours: Omit<Baseline, 'dispose'>,
  graph: {
    readonly file: Uint8Array;
    readonly tokens: readonly number[];
    readonly vocabSize: number;
    readonly device: GPUDevice;
  },
  rounds: number,
  say: (words: string) => void,
  signal: AbortSignal | undefined,
): Promise<Contender[]> {
  const failed: Contender[] = [];
  const opened: Baseline[] = [];
  try {
    const runners = [await prepare(ours)];
    for (const id of BASELINE_IDS) {
      signal?.throwIfAborted();
      const name = `onnxruntime-web · ${BASELINES[id]}`;
      say(`Opening ${name}`);
      const entered = await enter(() =>
        openBaseline(id, graph.file, graph.tokens, graph.vocabSize, graph.device),
      );
      if ('reason' in entered) {
        failed.push({ isFailed: true, name, reason: entered.reason });
        continue;
      }
      opened.push(entered.baseline);
      runners.push(entered.runner);
    }
    for (let round = 0; round < rounds; round++) {
      say(`Round ${round + 1} of ${rounds}`);
      for (const runner of shuffled(runners)) {
        signal?.throwIfAborted();
        const startMs = performance.now();
        await runner.run();
        runner.samples.push(performance.now() - startMs);
      }
    }
    const reference = runners[0]?.logits ?? new Float32Array();
    return [
      ...runners.map(({ name, dispatches, samples, logits }): Contender => ({
        isFailed: false,
        name,
        dispatches,
        wallMs: { samples, summary: summarize(samples) },
        maxAbsLogit: maxDifference(reference, logits).maxAbs,
      })),
      ...failed,
    ];
  } finally {
    for (const { dispose } of opened) await dispose();
  }
}

/** Fisher and Yates. */
function shuffled<T>(items: readonly T[]): T[] {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j] as T, order[i] as T];
  }
  return order;
}
