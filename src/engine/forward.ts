// Our forward as a contender beside onnxruntime's.
import type { Checkpoint } from '../model/model.ts';
import type { Mode, Program } from '../model/program.ts';
import type { Baseline } from '../onnx/baseline.ts';
import { logitRows } from './answer.ts';
import type { Session } from './device-session.ts';

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
