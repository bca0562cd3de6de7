// A fitted model as the files of a model folder: what `Library` reads, made of what it read.
import { convertWeights, membersOf, torchSnippet } from '../fit/convert.ts';
import type { ConvertedFile } from '../fit/convert.ts';
import { sha256 } from '../format/fetch.ts';
import { Problem } from '../problem.ts';
import type { Plan } from '../model/plan.ts';
import type { Checkpoint } from '../model/model.ts';
import { CARD } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';

/** How PyTorch takes an exported folder. */
export const SNIPPET = 'load.py';

/** The configuration that a converted model is described with. Throws Problem `unsupported` where there is none. */
export function configOf({ config }: Checkpoint): NonNullable<Checkpoint['config']> {
  if (config) return config;
  throw new Problem(
    'unsupported',
    'Cannot write this model as a folder: only the models that come with Normscope are written so',
    'Export it as ONNX.',
  );
}

/**
 * A folder of one twin: description, configuration, weights and how PyTorch takes them; `carried` are files of the first
 * model's that go along as they are: the tokenizer, the texts. Throws Problem `usage`.
 */
export function convertModel(
  checkpoint: Checkpoint,
  info: ModelInfo,
  plan: Plan,
  carried: readonly ConvertedFile[],
  heldOutLoss: number,
): ConvertedFile[] {
  const { site_norms: _, ...config } = configOf(checkpoint);
  const members = membersOf(plan);
  const { norm, others } = members;
  const json = (value: unknown): Uint8Array =>
    new TextEncoder().encode(`${JSON.stringify(value, null, 1)}\n`);
  const bytes = convertWeights(checkpoint, plan);
  const path = `${norm}/model.safetensors`;
  const { calibration, heldOut, ...rest } = info;
  const texts = Object.entries({ calibration, heldOut }).filter(([, file]) =>
    carried.some((one) => one.path === file?.path),
  );
  const card = {
    ...rest,
    ...Object.fromEntries(texts),
    id: `${info.id}-${norm}`,
    name: `${info.name}, converted`,
    description: `${plan.weights} with its norms swapped for others and calibrated by Normscope. ${info.description}`,
    twins: {
      [norm]: {
        config: `${norm}/config.json`,
        weights: { path, sizeBytes: bytes.byteLength, sha256: sha256(bytes) },
        heldOutLoss,
      },
    },
  };
  return [
    { path: CARD, bytes: json(card) },
    ...carried,
    {
      path: `${norm}/config.json`,
      bytes: json({ ...config, norm, ...(Object.keys(others).length ? { site_norms: others } : {}) }),
    },
    { path, bytes },
    { path: SNIPPET, bytes: new TextEncoder().encode(torchSnippet(members, path)) },
  ];
}
