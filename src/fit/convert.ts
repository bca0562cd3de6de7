// A fitted model as a model of its own: names as in the DyT and Derf repositories, one norm at all its sites.
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

/** The one member of a plan. Throws Problem `usage` where a configuration of one norm cannot say what the plan is. */
export function memberOf(plan: Plan): NormId {
  const [member, ...others] = new Set(Object.values(plan.sites).map(({ norm }) => norm));
  const HINT = 'Take it home as ONNX or as a plan, or swap all sites.';
  if (member === undefined || others.length)
    throw new Problem(
      'usage',
      'Cannot write the model as safetensors: its configuration names one norm for all sites, and this plan has several',
      HINT,
    );
  const all = Object.values(plan.sites);
  if (all.some(({ first, eps }) => first !== undefined || eps !== undefined))
    throw new Problem(
      'usage',
      `Cannot write the model as safetensors: ${all.some(({ first }) => first) ? 'its first tokens have scalars of their own' : 'a site has an ε of its own'}, and no module of ${normSpec(member).label} knows such a thing`,
      HINT,
    );
  const isUnstorable = Object.values(normSpec(member).params).every(
    (param) => param.measured !== 'variance' || param.tensor === null,
  );
  if (isMeasurable(member) && isUnstorable)
    throw new Problem(
      'usage',
      `Cannot write the model as safetensors: ${normSpec(member).label} takes its statistics from each prompt, and no file holds them`,
      HINT,
    );
  return member;
}

/** The weights of `checkpoint` with the plan's norms in them; every other tensor is the same bytes. */
export function convertWeights(checkpoint: Checkpoint, plan: Plan): Uint8Array {
  const { file } = checkpoint;
  const member = memberOf(plan);
  const { C } = checkpoint.model.dims;
  const { offsets } = thetaLayout(member, C);
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
    return Object.entries(normSpec(member).params).flatMap(([name, { tensor, size }]): Tensor[] => {
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

/** A PyTorch module of the member, and how the file's norms are put into a model. */
export function torchSnippet(member: NormId, path: string): string {
  const { params, label, torch } = normSpec(member);
  const own = Object.values(params).flatMap(({ tensor, size, default: value }) =>
    tensor === null
      ? []
      : [
          `        self.${tensor} = nn.Parameter(torch.full((${size === 'C' ? 'C' : 1},), ${value.toFixed(1)}))`,
        ],
  );
  return `# Loads the norms of ${path}: pip install torch safetensors
import torch
from safetensors.torch import load_file
from torch import nn


class ${label}(nn.Module):
    def __init__(self, C, eps=1e-5):
        super().__init__()
        self.eps = eps
${own.join('\n')}

    def forward(self, x):
        return ${torch}


def put_norms(model, path="${path}"):
    """Puts a ${label} at every site of \`model\` that the file has one for (h.0.ln_1, ..., ln_f), and loads the rest."""
    tensors = load_file(path)
    for site in sorted({name.rsplit(".", 1)[0] for name in tensors if name.split(".")[-2].startswith("ln_")}):
        parent, _, child = site.rpartition(".")
        setattr(model.get_submodule(parent), child, ${label}(tensors[site + ".weight"].numel()))
    model.load_state_dict(tensors, strict=False)
    return model
`;
}
