// What onnxruntime's engines are given in a contest: the plan's graph at the very lengths that are timed, with the
// prompt and, for decoding, the keys and values of the tokens before.
import type { BaselineGraph, BaselineId } from '../onnx/baseline.ts';
import { OrtSession } from '../onnx/session.ts';
import type { Plan } from '../model/plan.ts';
import type { Checkpoint } from '../model/model.ts';
import { feedsOf } from './answer.ts';
import type { Library } from './library.ts';

/** Graphs for the tokens after the first `past` ones.*/
export function contestGraphs(
  library: Library,
  plan: Plan,
  checkpoint: Checkpoint,
  tokens: readonly number[],
  past: number,
): (id: BaselineId) => Promise<BaselineGraph> {
  const { L, G, D } = checkpoint.model.dims;
  const hasPast = past > 0;
  let cached: Promise<BaselineGraph['inputs']> | undefined;
  const cachedInputs = async (): Promise<BaselineGraph['inputs']> => {
    if (!hasPast) return [];
    const { bytes } = await library.onnx(plan, { weights: 'f32', hasPast });
    await using session = await OrtSession.open(bytes);
    const after = await session.decode(tokens.slice(0, past), session.emptyPast(L, G, D));
    return Object.entries(after.past).map(([name, { dims, data }]) => {
      if (!(data instanceof Float32Array)) throw new TypeError(`Cannot use "${name}": it is not float32`);
      return { name, dims, data };
    });
  };
  return async (id) => {
    const { bytes } = await library.onnx(plan, {
      weights: 'f32',
      hasPast,
      fixed: { tokens: tokens.length - past, past },
      isForJsep: id === 'jsep',
    });
    cached ??= cachedInputs();
    const inputs = [...feedsOf(checkpoint, tokens.slice(past), {}), ...(await cached)];
    return { file: bytes, inputs, output: 'logits' };
  };
}
