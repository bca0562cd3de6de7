// A fitted model as a model of its own: names as in the DyT and Derf repositories.
import { headOf, writeSafetensors } from '../format/safetensors.ts';
import type { Tensor } from '../format/safetensors.ts';
import type { Plan, SitePlan } from '../model/plan.ts';
import { commonest, resolveTheta } from '../model/plan.ts';
import { sitesOf } from '../model/model.ts';
import type { Checkpoint } from '../model/model.ts';
import { toFloat32 } from '../format/safetensors.ts';
import { isMeasurable, normSpec, thetaLayout } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { Problem } from '../problem.ts';

export type ConvertedFile<B = Uint8Array> = { readonly path: string; readonly bytes: B };

/** The member that most sites have, and those of the others. */
type Members = { readonly norm: NormId; readonly others: Readonly<Record<string, NormId>> };

/** What stands where. Throws Problem `usage` where weights and a configuration cannot say what the plan is. */
export function membersOf({ sites }: Plan): Members {
  const all = Object.entries(sites);
  const [first] = all;
  if (!first) throw new RangeError('Cannot write a model without norms');
  const norm = commonest(
    all.map(([, site]) => site.norm),
    first[1].norm,
  );
  for (const [site, { norm: member, first: own, eps }] of all) {
    const { label, params } = normSpec(member);
    const isUnstorable =
      isMeasurable(member) &&
      Object.values(params).every(({ measured, tensor }) => measured !== 'variance' || tensor === null);
    const why =
      own !== undefined
        ? `its first tokens have scalars of their own at ${site}, and no module of ${label} knows such a thing`
        : eps !== undefined
          ? `${site} has an ε of its own, and no module of ${label} knows such a thing`
          : isUnstorable
            ? `${label} takes its statistics from each prompt, and no file holds them`
            : null;
    if (why !== null)
      throw new Problem(
        'usage',
        `Cannot write the model as safetensors: ${why}`,
        'Take it home as ONNX or as a plan.',
      );
  }
  const others = all.flatMap(([site, one]) => (one.norm === norm ? [] : [[site, one.norm] as const]));
  return { norm, others: Object.fromEntries(others) };
}

/** Whether other tensors stand at a site than it was trained with. */
const isSwapped = (site: SitePlan | undefined): boolean =>
  site === undefined || site.source !== 'twin' || site.values !== undefined || site.alphaScale !== 1;

/** Tensors on the CPU that stay as they are, and those of the norms that were swapped. */
function tensorsOf(checkpoint: Checkpoint, plan: Plan): { others: Tensor[]; norms: Tensor[] } {
  const { file } = checkpoint;
  membersOf(plan); // what no file can say is refused
  const { C } = checkpoint.model.dims;
  const sites = sitesOf(checkpoint)
    .map(({ id }) => id)
    .filter((id) => isSwapped(plan.sites[id]));
  const others = [...file.tensors.values()].filter(
    ({ name }) => !sites.some((id) => name.startsWith(`${id}.`)),
  );
  const norms = sites.flatMap((site): Tensor[] => {
    const sitePlan = plan.sites[site];
    if (!sitePlan) throw new RangeError(`Cannot write the model: the plan says nothing of site "${site}"`);
    const { values } = resolveTheta(sitePlan, C, (tensor) => {
      const found = file.tensors.get(`${site}.${tensor}`);
      return found && toFloat32(found);
    });
    const { offsets } = thetaLayout(sitePlan.norm, C);
    return Object.entries(normSpec(sitePlan.norm).params).flatMap(([name, { tensor, size }]): Tensor[] => {
      if (tensor === null) return [];
      const count = size === 'C' ? C : 1;
      const bytes = new Uint8Array(values.slice(offsets[name] ?? 0, (offsets[name] ?? 0) + count).buffer);
      return [{ name: `${site}.${tensor}`, dtype: 'F32', shape: [count], bytes }];
    });
  });
  return { others, norms };
}

const metadataOf = ({ file }: Checkpoint, plan: Plan): Record<string, string> => ({
  ...file.metadata,
  format: 'pt',
  converted_from: plan.weights,
  converted_by: 'Normscope',
});

/** The weights of `checkpoint` with the plan's norms in them; every other tensor is the same bytes. */
export function convertWeights(checkpoint: Checkpoint, plan: Plan): Uint8Array {
  const { others, norms } = tensorsOf(checkpoint, plan);
  return writeSafetensors([...others, ...norms], metadataOf(checkpoint, plan));
}

/** The same of a checkpoint whose matrices are read one at a time, under its files' own names. */
export async function convertStored(checkpoint: Checkpoint, plan: Plan): Promise<Blob> {
  const { streamed, stored } = checkpoint;
  const entries: (Omit<Tensor, 'bytes'> & { readonly sizeBytes: number })[] = [];
  const parts: Blob[] = [];
  const add = ({ name, dtype, shape, bytes }: Tensor): void => {
    entries.push({ name: stored?.nameOf(name) ?? name, dtype, shape, sizeBytes: bytes.byteLength });
    parts.push(new Blob([bytes as BlobPart])); // browsers keep it where there is room, not in this memory
  };
  const { others, norms } = tensorsOf(checkpoint, plan);
  for (const tensor of others) add(tensor);
  for await (const tensor of streamed?.read() ?? []) add(tensor);
  for (const tensor of norms) add(tensor);
  return new Blob([headOf(entries, metadataOf(checkpoint, plan)) as BlobPart, ...parts]);
}

/** What a member is called in Python, where None is a word of the language. */
function className(member: NormId): string {
  const { label } = normSpec(member);
  return label === 'None' ? 'NoNorm' : label;
}

function torchModule(member: NormId, eps: number): string {
  const { params, torch } = normSpec(member);
  const own = Object.values(params).flatMap(({ tensor, size, default: value }) =>
    tensor === null
      ? []
      : [
          `        self.${tensor} = nn.Parameter(torch.full((${size === 'C' ? 'C' : 1},), ${value.toFixed(1)}))`,
        ],
  );
  return `class ${className(member)}(nn.Module):
    def __init__(self, C, eps=${eps}):
        super().__init__()
        self.eps = eps
${own.join('\n')}

    def forward(self, x):
        return ${torch}
`;
}

/** PyTorch modules of the members that were put in, with the model's ε, and how a file's norms are put into a model. */
export function torchSnippet(plan: Plan, path: string, eps: number): string {
  membersOf(plan); // what no module can say is refused
  const swapped = Object.entries(plan.sites).filter(([, site]) => isSwapped(site));
  const sites = swapped.map(([site, { norm }]) => `    "${site}": ${className(norm)},`);
  const members = [...new Set(swapped.map(([, { norm }]) => norm))];
  const modules = members.map((member) => torchModule(member, eps));
  return `# Loads the norms of ${path}: pip install torch safetensors
import torch
from safetensors.torch import load_file
from torch import nn


${modules.join('\n\n')}

SITES = {
${sites.join('\n')}
}


def put_norms(model, path="${path}"):
    """Puts the norms of the file at their places in \`model\`, and loads the rest."""
    tensors = load_file(path)
    for place in sorted({name.rpartition(".")[0] for name in tensors}):
        norm = next((SITES[site] for site in SITES if place == site or place.endswith("." + site)), None)
        if norm is not None:
            parent, _, child = place.rpartition(".")
            setattr(model.get_submodule(parent), child, norm(tensors[place + ".weight"].numel()))
    model.load_state_dict(tensors, strict=False)
    return model
`;
}
