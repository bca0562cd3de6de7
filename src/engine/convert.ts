// A fitted model as the files of a model folder: what `Library` reads, made of what it read.
import { convertStored, convertWeights, membersOf, torchSnippet } from '../fit/convert.ts';
import type { ConvertedFile } from '../fit/convert.ts';
import { sha256 } from '../format/fetch.ts';
import { sitesOf } from '../model/model.ts';
import type { Plan } from '../model/plan.ts';
import type { Checkpoint } from '../model/model.ts';
import { CARD, CONFIG, WEIGHTS } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';

/** How PyTorch takes an exported folder. */
export const SNIPPET = 'load.py';

const json = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, null, 1)}\n`);

/** An opened checkpoint with the plan's norms in it, as one of the same kind. Throws Problem `usage`. */
export async function convertOpened(
  checkpoint: Checkpoint,
  plan: Plan,
  carried: readonly ConvertedFile[],
): Promise<ConvertedFile<Uint8Array | Blob>[]> {
  const { native, config: given = {} } = checkpoint.stored ?? {};
  const { site_norms: _, ...config } = given;
  const others = sitesOf(checkpoint).flatMap(({ id }) => {
    const norm = plan.sites[id]?.norm;
    return norm === undefined || norm === native ? [] : [[id, norm] as const];
  });
  return [
    {
      path: CONFIG,
      bytes: json({ ...config, ...(others.length ? { site_norms: Object.fromEntries(others) } : {}) }),
    },
    { path: WEIGHTS, bytes: await convertStored(checkpoint, plan) },
    ...carried,
    {
      path: SNIPPET,
      bytes: new TextEncoder().encode(torchSnippet(plan, WEIGHTS, checkpoint.model.norm.eps)),
    },
  ];
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
  const { site_norms: _, ...config } = checkpoint.config ?? {};
  const { norm, others } = membersOf(plan);
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
    { path: SNIPPET, bytes: new TextEncoder().encode(torchSnippet(plan, path, checkpoint.model.norm.eps)) },
  ];
}
