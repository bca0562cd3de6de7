// A fitted model as a model of its own: names as in the DyT and Derf repositories.
import { writeSafetensors } from '../format/safetensors.ts';
import type { Tensor } from '../format/safetensors.ts';
import type { Plan } from '../model/plan.ts';
import { resolveTheta } from '../model/plan.ts';
import { sitesOf } from '../model/model.ts';
import type { Checkpoint } from '../model/model.ts';
import { toFloat32 } from '../format/safetensors.ts';
import { isMeasurable, normSpec, thetaLayout } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { Problem } from '../problem.ts';

export type ConvertedFile = { readonly path: string; readonly bytes: Uint8Array };

/** The member that most sites have, and those of the others. */
export type Members = { readonly norm: NormId; readonly others: Readonly<Record<string, NormId>> };

/** What stands where. Throws Problem `usage` where weights and a configuration cannot say what the plan is. */
export function membersOf({ sites }: Plan): Members {
  const all = Object.entries(sites);
  const count = (id: NormId): number => all.filter(([, one]) => one.norm === id).length;
  const [norm] = [...new Set(all.map(([, one]) => one.norm))].toSorted((a, b) => count(b) - count(a));
  if (norm === undefined) throw new RangeError('Cannot write a model without norms');
  for (const [site, { norm: member, first, eps }] of all) {
    const { label, params } = normSpec(member);
    const isUnstorable =
      isMeasurable(member) &&
      Object.values(params).every(({ measured, tensor }) => measured !== 'variance' || tensor === null);
    const why =
      first !== undefined
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

/** The weights of `checkpoint` with the plan's norms in them; every other tensor is the same bytes. */
export function convertWeights(checkpoint: Checkpoint, plan: Plan): Uint8Array {
  const { file } = checkpoint;
  membersOf(plan); // what no file can say is refused
  const { C } = checkpoint.model.dims;
  const sites = sitesOf(checkpoint).map(({ id }) => id);
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
  return writeSafetensors([...others, ...norms], {
    ...file.metadata,
    format: 'pt',
    converted_from: plan.weights,
    converted_by: 'Normscope',
  });
}

function torchModule(member: NormId): string {
  const { params, label, torch } = normSpec(member);
  const own = Object.values(params).flatMap(({ tensor, size, default: value }) =>
    tensor === null
      ? []
      : [
          `        self.${tensor} = nn.Parameter(torch.full((${size === 'C' ? 'C' : 1},), ${value.toFixed(1)}))`,
        ],
  );
  return `class ${label}(nn.Module):
    def __init__(self, C, eps=1e-5):
        super().__init__()
        self.eps = eps
${own.join('\n')}

    def forward(self, x):
        return ${torch}
`;
}

/** PyTorch modules of the members, and how the file's norms are put into a model. */
export function torchSnippet({ norm, others }: Members, path: string): string {
  const { label } = normSpec(norm);
  const sites = Object.entries(others).map(([site, id]) => `"${site}": ${normSpec(id).label}`);
  const modules = [...new Set([norm, ...Object.values(others)])].map(torchModule);
  return `# Loads the norms of ${path}: pip install torch safetensors
import torch
from safetensors.torch import load_file
from torch import nn


${modules.join('\n\n')}${sites.length ? `\n\nOTHERS = {${sites.join(', ')}}  # sites with another norm than ${label}\n` : ''}

def put_norms(model, path="${path}"):
    """Puts a norm at every site of \`model\` that the file has one for (h.0.ln_1, ..., ln_f), and loads the rest."""
    tensors = load_file(path)
    for site in sorted({name.rsplit(".", 1)[0] for name in tensors if name.split(".")[-2].startswith("ln_")}):
        parent, _, child = site.rpartition(".")
        norm = ${sites.length ? `OTHERS.get(site, ${label})` : label}
        setattr(model.get_submodule(parent), child, norm(tensors[site + ".weight"].numel()))
    model.load_state_dict(tensors, strict=False)
    return model
`;
}
