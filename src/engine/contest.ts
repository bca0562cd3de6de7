// Ours beside onnxruntime's engines, round by round in random order, so that what the machine does meanwhile falls
// on all alike.
import { shuffled } from '../bench/protocol.ts';
import { summarize } from '../bench/summary.ts';
import { BASELINE_IDS, BASELINES, countDispatches, openBaseline } from '../onnx/baseline.ts';
import type { Baseline, BaselineGraph, BaselineId } from '../onnx/baseline.ts';
import { maxDifference, toleranceOf } from '../onnx/judge.ts';
import type { Contender, Contest } from './api.ts';

const WARMUPS = 2;

type Runner = Pick<Baseline, 'name' | 'run'> & {
  readonly logits: Float32Array;
  readonly dispatches: number;
  readonly samples: number[];
};

async function prepare({ name, run, read }: Omit<Baseline, 'dispose'>): Promise<Runner> {
  const logits = await read(); // the first run compiles, the second captures
  for (let i = 0; i < WARMUPS; i++) await run();
  return { name, run, logits, dispatches: await countDispatches(run), samples: [] };
}

/** Rejects when `signal` aborts, looked at between forwards; `say` tells what is going on. */
export async function contest(
  ours: Omit<Baseline, 'dispose'>,
  graphs: (id: BaselineId) => Promise<BaselineGraph>,
  device: GPUDevice,
  rounds: number,
  say: (words: string) => void,
  signal: AbortSignal | undefined,
): Promise<Omit<Contest, 'phase'>> {
  const failed: Contender[] = [];
  const opened: Baseline[] = [];
  try {
    const runners = [await prepare(ours)];
    for (const id of BASELINE_IDS) {
      signal?.throwIfAborted();
      const name = `onnxruntime-web · ${BASELINES[id]}`;
      say(`Opening ${name}`);
      try {
        const baseline = await openBaseline(id, await graphs(id), device);
        opened.push(baseline);
        runners.push(await prepare(baseline));
      } catch (thrown) {
        const reason = thrown instanceof Error ? thrown.message : String(thrown);
        failed.push({ isFailed: true, name, reason });
      }
    }
    for (let round = 0; round < rounds; round++) {
      say(`Round ${round + 1} of ${rounds}`);
      for (const runner of shuffled(runners, Math.random)) {
        signal?.throwIfAborted();
        const startMs = performance.now();
        await runner.run();
        runner.samples.push(performance.now() - startMs);
      }
    }
    const reference = runners[0]?.logits ?? new Float32Array();
    return {
      tolerance: toleranceOf(maxDifference(reference, reference).largest),
      contenders: [
        ...runners.map(({ name, dispatches, samples, logits }): Contender => ({
          isFailed: false,
          name,
          dispatches,
          wallMs: { samples, summary: summarize(samples) },
          maxAbsLogit: maxDifference(reference, logits).maxAbs,
        })),
        ...failed,
      ],
    };
  } finally {
    for (const { dispose } of opened) await dispose();
  }
}
