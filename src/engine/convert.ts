// A fitted model as the files of a model folder: what `Library` reads, made of what it read.
import { convertStored, convertWeights, membersOf, torchSnippet } from '../fit/convert.ts';
import type { ConvertedFile } from '../fit/convert.ts';
import { sha256 } from '../format/fetch.ts';
import { sitesOf } from '../model/model.ts';
import type { Plan } from '../model/plan.ts';
import type { Checkpoint } from '../model/model.ts';
import { CARD, CONFIG, WEIGHTS } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
import type { NormId } from '../norm/registry.ts';

/** How PyTorch takes an exported folder. */
export const SNIPPET = 'load.py';

const json = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, null, 1)}\n`);

/** A configuration that says which sites have another norm than the others. */
function configWith(
  given: Readonly<Record<string, unknown>>,
  others: Readonly<Record<string, NormId>>,
): Uint8Array {
  const { site_norms: _, ...config } = given;
  return json({ ...config, ...(Object.keys(others).length ? { site_norms: others } : {}) });
}

const snippetFile = ({ model }: Checkpoint, plan: Plan, path: string): ConvertedFile => ({
  path: SNIPPET,
  bytes: new TextEncoder().encode(torchSnippet(plan, path, model.norm.eps)),
});

/** An opened checkpoint with the plan's norms in it, as one of the same kind. Throws Problem `usage`. */
export async function convertOpened(
  checkpoint: Checkpoint,
  plan: Plan,
  carried: readonly ConvertedFile[],
): Promise<ConvertedFile<Uint8Array | Blob>[]> {
  const { native, config = {} } = checkpoint.stored ?? {};
  const others = sitesOf(checkpoint).flatMap(({ id }) => {
    const norm = plan.sites[id]?.norm;
    return norm === undefined || norm === native ? [] : [[id, norm] as const];
  });
  return [
    { path: CONFIG, bytes: configWith(config, Object.fromEntries(others)) },
    { path: WEIGHTS, bytes: await convertStored(checkpoint, plan) },
    ...carried,
    snippetFile(checkpoint, plan, WEIGHTS),
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
  const { norm, others } = membersOf(plan);
  const bytes = convertWeights(checkpoint, plan);
  const path = `${norm}/${WEIGHTS}`;
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
        config: `${norm}/${CONFIG}`,
        weights: { path, sizeBytes: bytes.byteLength, sha256: sha256(bytes) },
        heldOutLoss,
      },
    },
  };
  return [
    { path: CARD, bytes: json(card) },
    ...carried,
    { path: `${norm}/${CONFIG}`, bytes: configWith({ ...checkpoint.config, norm }, others) },
    { path, bytes },
    snippetFile(checkpoint, plan, path),
  ];
}
