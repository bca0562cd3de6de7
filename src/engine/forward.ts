// Our forward on a device: asked for its answer, or as a contender beside onnxruntime's.
import type { Checkpoint } from '../model/model.ts';
import type { Mode, Program } from '../model/program.ts';
import type { Plan } from '../model/plan.ts';
import type { Baseline } from '../onnx/baseline.ts';
import { logitRows } from './answer.ts';
import type { RunInput } from './api.ts';
import type { Session } from './device-session.ts';
import { NOT_PROBED, probedIn } from './probed.ts';
import type { Probed } from './probed.ts';

/** The forward of the tokens after the first `past` ones, which it computes and caches first. */
export async function forwardOn(
  session: Session,
  checkpoint: Checkpoint,
  programOf: (mode: Mode) => Promise<Program>,
  tokens: readonly number[],
  past: number,
): Promise<Omit<Baseline, 'dispose'> & Disposable> {
  const { gpu } = session;
  const { V } = checkpoint.model.dims;
  const logits = session.space(checkpoint).activation('logits', V);
  const program = await programOf({ kind: past > 0 ? 'decode' : 'prefill', hasProbes: false });
  if (past > 0) {
    using prefill = await programOf({ kind: 'prefill', hasProbes: false });
    prefill.submit(tokens.slice(0, past), 0);
  }
  program.give({}, tokens.length - past);
  const run = async (n = 1): Promise<void> => {
    for (let i = 0; i < n; i++) program.submit(tokens.slice(past), past);
    await gpu.done();
  };
  return {
    name: 'Normscope · WGSL',
    run,
    read: async () => {
      await run();
      const sizeBytes = 4 * logitRows(checkpoint, tokens.length - past) * V;
      return new Float32Array(await gpu.read([{ buffer: logits, sizeBytes }]));
    },
    [Symbol.dispose]: () => program[Symbol.dispose](),
  };
}

/** One forward and all that it says: logits [T, V], and what probes found where the program has them. */
export async function answerOn(
  session: Session,
  checkpoint: Checkpoint,
  program: Program,
  plan: Plan,
  tokens: readonly number[],
  input: RunInput,
): Promise<{
  readonly logits: Float32Array;
  readonly probed: Probed;
  /** Logits apart. */
  readonly readbackBytes: number;
}> {
  const space = session.space(checkpoint);
  const T = tokens.length;
  const { V } = checkpoint.model.dims;
  program.give(input, T);
  program.submit(tokens, 0);
  const probed = program.mode.hasProbes ? probedIn(space, checkpoint, plan, T) : null;
  const logitsBytes = logitRows(checkpoint, T) * V * 4;
  const bytes = await session.gpu.read([
    { buffer: space.activation('logits', V), sizeBytes: logitsBytes },
    ...(probed?.parts ?? []),
  ]);
  return {
    logits: new Float32Array(bytes.slice(0, logitsBytes)),
    probed: probed?.report(bytes, logitsBytes) ?? NOT_PROBED,
    readbackBytes: bytes.byteLength - logitsBytes,
  };
}
