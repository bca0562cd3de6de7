// Any model the engine can run, with any plan, as an ONNX file: the same description that the program is made of. Opset
// 23.
import type { Checkpoint } from '../model/model.ts';
import { planSource } from '../model/plan.ts';
import type { Plan } from '../model/plan.ts';
import { OnnxComposer, opsetOf } from './compose.ts';
import type { OnnxOptions } from './compose.ts';

export { entropyName, OPSET, opsetOf, tapName } from './compose.ts';
export type { OnnxOptions } from './compose.ts';

export const IR_VERSION = 10;

export type OnnxAbout = {
  readonly model: string;
  readonly description: string;
  readonly license: string;
  readonly sha256: string;
  readonly version: string;
};

/** An ONNX file and the number of operators in it. */
export type OnnxFile = { readonly bytes: Uint8Array; readonly nodeCount: number };

/** The model under `plan` as an ONNX file: input_ids[batch, sequence] (and token_type_ids), or pixel_values, →
 * logits[batch, sequence, V]. */
export function writeOnnx(
  checkpoint: Checkpoint,
  plan: Plan,
  options: OnnxOptions,
  about: OnnxAbout,
): OnnxFile {
  const composer = new OnnxComposer(checkpoint, plan, options);
  checkpoint.model.compose(composer);
  composer.finish();
  const bytes = composer.graph.encode({
    name: plan.weights,
    producer: { name: 'Normscope', version: about.version },
    opset: opsetOf(options),
    irVersion: IR_VERSION,
    description: `${about.model}, weights ${plan.weights}, norms: ${planSource(plan)}. ${about.description}`,
    metadata: {
      model: about.model,
      license: about.license,
      weights: plan.weights,
      weights_sha256: about.sha256,
      norm_source: planSource(plan),
      plan: JSON.stringify(plan.sites),
      options: JSON.stringify(options),
    },
  });
  return { bytes, nodeCount: composer.graph.nodeCount };
}
