// Outputs of a file before and after its sites were rewritten.
import { compareRows, maxDifference } from './judge.ts';
import type { OnnxOutput } from './session.ts';

export type OutputDifference = {
  readonly name: string;
  /** Largest |after − before|; NaN where a value is finite on one side only. */
  readonly maxAbs: number;
  /** Largest value of either. */
  readonly largest: number;
  /** Of logits and the like: KL(before ‖ after) in nats, the largest over rows, and the share with the same first. */
  readonly rows: { readonly count: number; readonly maxKl: number; readonly topAgreement: number } | null;
};

const LIKE_LOGITS = /logits|scores|prediction/i;

/** One entry an output of floats that both have. */
export function compareOutputs(
  before: ReadonlyMap<string, OnnxOutput>,
  after: ReadonlyMap<string, OnnxOutput>,
): OutputDifference[] {
  return [...before].flatMap(([name, { values, dims }]) => {
    const other = after.get(name)?.values;
    if (!values || !other) return [];
    const V = dims.at(-1) ?? 0;
    const isRows = LIKE_LOGITS.test(name) && V > 1 && values.length === other.length && values.length > 0;
    return [
      {
        name,
        ...maxDifference(values, other),
        rows: isRows ? { count: values.length / V, ...compareRows(values, other, V) } : null,
      },
    ];
  });
}
