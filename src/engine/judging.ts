// onnxruntime asked about the same weights and tokens: fetched when this file is, which is when somebody asks.
import { judge } from '../onnx/judge.ts';
import type { Judgement } from '../onnx/judge.ts';
import { OrtSession } from '../onnx/session.ts';
import { tapName } from '../onnx/write.ts';
import type { Plan } from '../model/plan.ts';
import type { Library } from './library.ts';

type Theirs = { readonly engine: string; readonly outputs: Map<string, Float32Array> };
type Ours = {
  readonly logits: Float32Array;
  readonly captured: ReadonlyMap<string, { readonly in: Float32Array; readonly out: Float32Array }>;
};

/** Logits and every site's input and output by onnxruntime on the processor. */
export async function askOnnxruntime(
  library: Library,
  plan: Plan,
  feeds: Parameters<OrtSession['feed']>[0],
): Promise<Theirs> {
  const { bytes } = await library.onnx(plan, { weights: 'f32', hasTaps: true });
  await using session = await OrtSession.open(bytes);
  return { engine: session.engine, outputs: await session.feed(feeds) };
}

export function compareWith(
  { engine, outputs }: Theirs,
  { logits, captured }: Ours,
  sites: readonly string[],
  V: number,
): Judgement {
  const empty = new Float32Array();
  return judge(
    engine,
    { logits, site: (site, side) => captured.get(site)?.[side] ?? empty },
    {
      logits: outputs.get('logits') ?? empty,
      site: (site, side) => outputs.get(tapName(site, side)) ?? empty,
    },
    sites,
    V,
  );
}
