// One norm alone as an ONNX graph: x[1, T, C] → its output [1, T, C], by the same recipe that whole models are written with.
import { normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import type { Params } from '../norm/reference.ts';
import { OnnxGraph } from './graph.ts';
import { IR_VERSION, opsetOf } from './write.ts';

/** `params` by their names in the registry; where statistics are measured, they are taken from the T tokens. */
export function writeNormOnnx(
  id: NormId,
  { T, C, eps }: { readonly T: number; readonly C: number; readonly eps: number },
  params: Params,
  options: { readonly isMeasured: boolean; readonly isForJsep?: boolean },
): { readonly file: Uint8Array; readonly output: string } {
  const graph = new OnnxGraph();
  const { op } = graph;
  const { onnx } = normSpec(id);
  const param = (name: string): string => {
    const values = Float32Array.from(params[name] ?? []);
    return graph.floats(name, [values.length], values);
  };
  const opset = opsetOf(options);
  let y = onnx.write({
    op,
    x: graph.input('x', 'float', [1, T, C]),
    param,
    number: (value) => graph.floats(`number/${value}`, [1], Float32Array.of(value)),
    lastAxis: () => graph.ints(-1),
    eps,
    isMeasured: options.isMeasured,
    opset,
  });
  if (onnx.kind === 'core') y = op('Add', [op('Mul', [y, param('gamma')]), param('beta')]);
  graph.output(y, 'float', [1, T, C]);
  const file = graph.encode({
    name: id,
    producer: { name: 'Normscope', version: import.meta.env.APP_VERSION },
    opset,
    irVersion: IR_VERSION,
    description: `${normSpec(id).label} over [${T}, ${C}]`,
    metadata: {},
  });
  return { file, output: y };
}
