// The norm family. An id is spelled here and nowhere else in src/: bars, links, plans, probes, exports and
// colours loop over NORM_IDS. shaders/norm/<id>.wgsl holds the formula, reference.ts the float64 of it.
import * as onnx from './onnx.ts';
import type { OnnxRecipe } from './onnx.ts';
import * as reference from './reference.ts';
import type { Reference } from './reference.ts';

/** One learnt or measured value of a member: its size, its name in checkpoints, and what stands in for it. */
export type ParamSpec = {
  readonly size: 1 | 'C';
  /** Tensor name under the site in checkpoints; null where files never hold it. */
  readonly tensor: string | null;
  /** Value in a raw swap, when the weights have no tensor of this name. */
  readonly default: number;
  /** When the weights lack it: taken from this prompt's own tokens, by shaders/norm/_columns.wgsl. */
  readonly measured?: 'mean' | 'meanLow' | 'variance';
  /** Checkpoints of this member may leave it out. */
  readonly isOptional?: boolean;
};

export type NormSpec = {
  readonly label: string;
  readonly name: string;
  /** KaTeX of the whole member. */
  readonly formula: string;
  readonly paper: `arXiv:${string}`;
  readonly year: number;
  /** What one output value depends on: this value, this token's channels, or this channel's tokens. */
  readonly over: 'element' | 'token' | 'channel';
  readonly params: Readonly<Record<string, ParamSpec>>;
  /** How the alpha slider turns this member's gain: params[param] · m^power. */
  readonly gain?: { readonly param: string; readonly power: number };
  /** For members over a token's channels: the straight line each token becomes. */
  readonly line?: { readonly per: 'std' | 'rms'; readonly isCentred: boolean };
  /** What the histogram shows; members that do not bend share x/σ. */
  readonly drive: string;
  /** Of a member of single values: what its curve is called among others. */
  readonly curve?: string;
  /** Offered under "more", as a raw swap. */
  readonly isGallery?: boolean;
  readonly color: { readonly light: string; readonly dark: string };
  /** One sentence for people who meet it for the first time. */
  readonly idea: string;
  readonly reference: Reference;
  readonly onnx: OnnxRecipe;
  /** The forward of a PyTorch module whose parameters have the names of checkpoints. */
  readonly torch: string;
};

const scalar = (tensor: string, value: number): ParamSpec => ({ size: 1, tensor, default: value });
const gamma: ParamSpec = { size: 'C', tensor: 'weight', default: 1 };
const beta: ParamSpec = { size: 'C', tensor: 'bias', default: 0 };
const STAND_IN = 'x/σ';

export const NORMS = {
  none: {
    label: 'None',
    name: 'No normalization',
    formula: String.raw`y = \gamma x + \beta`,
    paper: 'arXiv:2503.10622',
    year: 2025,
    over: 'element',
    params: { gamma, beta },
    drive: STAND_IN,
    curve: 'a line',
    color: { light: '#6f7680', dark: '#a3a9b2' },
    idea: 'Only the learnt scale and shift remain. Nothing holds the size of the activations.',
    reference: reference.none,
    torch: 'self.weight * x + self.bias',
    onnx: onnx.none,
  },
  layernorm: {
    label: 'LayerNorm',
    name: 'Layer normalization',
    formula: String.raw`y = \gamma\,\frac{x-\mu_t}{\sqrt{\sigma_t^2+\epsilon}} + \beta`,
    paper: 'arXiv:1607.06450',
    year: 2016,
    over: 'token',
    line: { per: 'std', isCentred: true },
    params: { gamma, beta },
    drive: STAND_IN,
    color: { light: '#0072B2', dark: '#4aa8e0' },
    idea: 'Each token is centred and scaled by its own mean and spread: a straight line per token.',
    reference: reference.layernorm,
    torch:
      'self.weight * (x - x.mean(-1, keepdim=True)) * torch.rsqrt(x.var(-1, keepdim=True, correction=0) + self.eps) + self.bias',
    onnx: onnx.layernorm,
  },
  rmsnorm: {
    label: 'RMSNorm',
    name: 'Root mean square normalization',
    formula: String.raw`y = \gamma\,\frac{x}{\sqrt{\overline{x^2_t}+\epsilon}} + \beta`,
    paper: 'arXiv:1910.07467',
    year: 2019,
    over: 'token',
    line: { per: 'rms', isCentred: false },
    params: { gamma, beta: { ...beta, isOptional: true } },
    drive: STAND_IN,
    color: { light: '#2f8fc4', dark: '#7cc4ee' },
    idea: 'Like LayerNorm without the centring: each token is divided by its root mean square.',
    reference: reference.rmsnorm,
    torch: 'self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) + self.bias',
    onnx: onnx.rmsnorm,
  },
  batchnorm: {
    label: 'BatchNorm',
    name: 'Batch normalization',
    formula: String.raw`y = \gamma\,\frac{x-\mu_c}{\sqrt{\sigma_c^2+\epsilon}} + \beta`,
    paper: 'arXiv:1502.03167',
    year: 2015,
    over: 'channel',
    params: {
      running_mean: { size: 'C', tensor: 'running_mean', default: 0, measured: 'mean' },
      mean_low: { size: 'C', tensor: null, default: 0, measured: 'meanLow' },
      running_var: { size: 'C', tensor: 'running_var', default: 1, measured: 'variance' },
      gamma,
      beta,
    },
    drive: STAND_IN,
    color: { light: '#00805d', dark: '#2fc39b' },
    idea: 'Each channel is centred and scaled by averages stored during training.',
    reference: reference.batchnorm,
    torch: 'self.weight * (x - self.running_mean) * torch.rsqrt(self.running_var + self.eps) + self.bias',
    onnx: onnx.batchnorm,
  },
  instancenorm: {
    label: 'InstanceNorm',
    name: 'Instance normalization',
    formula: String.raw`y = \gamma\,\frac{x-\mu_c}{\sqrt{\sigma_c^2+\epsilon}} + \beta,\quad \mu_c,\sigma_c\ \text{over this prompt}`,
    paper: 'arXiv:1607.08022',
    year: 2016,
    over: 'channel',
    params: {
      mean: { size: 'C', tensor: null, default: 0, measured: 'mean' },
      mean_low: { size: 'C', tensor: null, default: 0, measured: 'meanLow' },
      variance: { size: 'C', tensor: null, default: 1, measured: 'variance' },
      gamma,
      beta,
    },
    drive: STAND_IN,
    color: { light: '#667a00', dark: '#b5c94a' },
    idea: 'Each channel is scaled by its spread over this prompt’s tokens.',
    reference: reference.instancenorm,
    torch:
      'self.weight * (x - x.mean(-2, keepdim=True)) * torch.rsqrt(x.var(-2, keepdim=True, correction=0) + self.eps) + self.bias',
    onnx: onnx.instancenorm,
  },
  dyt: {
    label: 'DyT',
    name: 'Dynamic Tanh',
    formula: String.raw`y = \gamma\tanh(\alpha x) + \beta`,
    paper: 'arXiv:2503.10622',
    year: 2025,
    over: 'element',
    params: { alpha: scalar('alpha', 1), gamma, beta },
    gain: { param: 'alpha', power: 1 },
    drive: 'αx',
    curve: 'tanh',
    color: { light: '#c04e00', dark: '#f2813c' },
    idea: 'No statistic at all: every value goes through the same tanh, scaled by one learnt α.',
    reference: reference.dyt,
    torch: 'self.weight * torch.tanh(self.alpha * x) + self.bias',
    onnx: onnx.dyt,
  },
  derf: {
    label: 'Derf',
    name: 'Dynamic erf',
    formula: String.raw`y = \gamma\,\mathrm{erf}(\alpha x + s) + \beta`,
    paper: 'arXiv:2512.10938',
    year: 2025,
    over: 'element',
    params: { alpha: scalar('alpha', 1), shift: scalar('shift', 0), gamma, beta },
    gain: { param: 'alpha', power: 1 },
    drive: 'αx + s',
    curve: 'erf',
    color: { light: '#b04a85', dark: '#e08fbd' },
    idea: 'DyT with the error function and a learnt shift s.',
    reference: reference.derf,
    torch: 'self.weight * torch.erf(self.alpha * x + self.shift) + self.bias',
    onnx: onnx.derf,
  },
  dyisru: {
    label: 'DyISRU',
    name: 'Dynamic ISRU',
    formula: String.raw`y = \gamma\,\frac{x}{\sqrt{b + x^2}} + \beta`,
    paper: 'arXiv:2503.21708',
    year: 2025,
    over: 'element',
    params: { b: scalar('b', 1), gamma, beta },
    gain: { param: 'b', power: -2 },
    drive: 'x/√b',
    curve: 'isru',
    color: { light: '#8f6a00', dark: '#dfb23f' },
    idea: 'The exact pointwise counterpart of RMSNorm; it bends later and softer than tanh.',
    reference: reference.dyisru,
    torch: 'self.weight * x * torch.rsqrt(self.b + x.square()) + self.bias',
    onnx: onnx.dyisru,
  },
  dyhardtanh: {
    label: 'DyHardtanh',
    name: 'Dynamic hard tanh',
    formula: String.raw`y = \gamma\,\mathrm{clamp}(\alpha x, -1, 1) + \beta`,
    paper: 'arXiv:2503.10622',
    year: 2025,
    over: 'element',
    params: { alpha: scalar('alpha', 1), gamma, beta },
    gain: { param: 'alpha', power: 1 },
    drive: 'αx',
    curve: 'hardtanh',
    isGallery: true,
    color: { light: '#a0522d', dark: '#d9946b' },
    idea: 'Straight in the middle, flat outside: tanh with corners. The DyT paper’s ablation.',
    reference: reference.dyhardtanh,
    onnx: onnx.dyhardtanh,
    torch: 'self.weight * (self.alpha * x).clamp(-1, 1) + self.bias',
  },
  dysigmoid: {
    label: 'DySigmoid',
    name: 'Dynamic sigmoid',
    formula: String.raw`y = \frac{\gamma}{1 + e^{-\alpha x}} + \beta`,
    paper: 'arXiv:2503.10622',
    year: 2025,
    over: 'element',
    params: { alpha: scalar('alpha', 1), gamma, beta },
    gain: { param: 'alpha', power: 1 },
    drive: 'αx',
    curve: 'sigmoid',
    isGallery: true,
    color: { light: '#7d5ba6', dark: '#b79bdc' },
    idea: 'A tanh that is not centred at zero: the DyT paper’s ablation.',
    reference: reference.dysigmoid,
    onnx: onnx.dysigmoid,
    torch: 'self.weight * torch.sigmoid(self.alpha * x) + self.bias',
  },
  dyarctan: {
    label: 'DyArctan',
    name: 'Dynamic arctangent',
    formula: String.raw`y = \gamma\,\tfrac{2}{\pi}\arctan(\alpha x + s) + \beta`,
    paper: 'arXiv:2512.10938',
    year: 2025,
    over: 'element',
    params: { alpha: scalar('alpha', 1), shift: scalar('shift', 0), gamma, beta },
    gain: { param: 'alpha', power: 1 },
    drive: 'αx + s',
    curve: 'arctan',
    isGallery: true,
    color: { light: '#3d7a8c', dark: '#74b9cc' },
    idea: 'Bounded as tanh, but it takes far longer to get there.',
    reference: reference.dyarctan,
    onnx: onnx.dyarctan,
    torch: 'self.weight * (2 / torch.pi) * torch.atan(self.alpha * x + self.shift) + self.bias',
  },
  dysoftsign: {
    label: 'DySoftsign',
    name: 'Dynamic softsign',
    formula: String.raw`y = \gamma\,\frac{u}{1 + |u|} + \beta,\quad u = \alpha x + s`,
    paper: 'arXiv:2512.10938',
    year: 2025,
    over: 'element',
    params: { alpha: scalar('alpha', 1), shift: scalar('shift', 0), gamma, beta },
    gain: { param: 'alpha', power: 1 },
    drive: 'αx + s',
    curve: 'softsign',
    isGallery: true,
    color: { light: '#5f7f3a', dark: '#a3c47a' },
    idea: 'No exponential at all; it bends at once and saturates slowly.',
    reference: reference.dysoftsign,
    onnx: onnx.dysoftsign,
    torch: 'self.weight * torch.nn.functional.softsign(self.alpha * x + self.shift) + self.bias',
  },
  dysatursin: {
    label: 'DySaturSin',
    name: 'Dynamic saturating sine',
    formula: String.raw`y = \gamma\sin\bigl(\mathrm{clamp}(u, -\tfrac{\pi}{2}, \tfrac{\pi}{2})\bigr) + \beta,\quad u = \alpha x + s`,
    paper: 'arXiv:2512.10938',
    year: 2025,
    over: 'element',
    params: { alpha: scalar('alpha', 1), shift: scalar('shift', 0), gamma, beta },
    gain: { param: 'alpha', power: 1 },
    drive: 'αx + s',
    curve: 'satursin',
    isGallery: true,
    color: { light: '#a8456a', dark: '#e48aab' },
    idea: 'A sine up to its crest, flat from there: second best of the Derf paper’s search.',
    reference: reference.dysatursin,
    onnx: onnx.dysatursin,
    torch:
      'self.weight * torch.sin((self.alpha * x + self.shift).clamp(-torch.pi / 2, torch.pi / 2)) + self.bias',
  },
} as const satisfies Record<string, NormSpec>;

export type NormId = keyof typeof NORMS;
export const NORM_IDS = Object.keys(NORMS) as readonly NormId[];
/** Members of the norm bar; the others are the gallery, offered under "more". */
export const MAIN_NORM_IDS = NORM_IDS.filter((id) => !(NORMS[id] as NormSpec).isGallery);
export const GALLERY_IDS = NORM_IDS.filter((id) => (NORMS[id] as NormSpec).isGallery);
/** The norm a visitor meets first, and the first base of a raw swap. */
export const FIRST_NORM: NormId = 'layernorm';
/** The norm that the page is about: what the tour puts in its place. */
export const STORY_NORM: NormId = 'dyt';

export const isNormId = (id: string): id is NormId => Object.hasOwn(NORMS, id);

/** The entry of a member, with the family's common type. */
export const normSpec = (id: NormId): NormSpec => NORMS[id];

/** Members of single values: their curves can be laid over any norm's points. */
export const CURVE_IDS = NORM_IDS.filter((id) => normSpec(id).curve !== undefined);
/** f of a member of single values: u → core. */
export const curveOf = (id: NormId): ((u: number) => number) =>
  normSpec(id).reference.bend?.value ?? ((u) => u);

/** Whether a member takes statistics over the prompt's tokens unless its weights bring them. */
export const isMeasurable = (id: NormId): boolean =>
  Object.values(normSpec(id).params).some(({ measured }) => measured !== undefined);

/** A member whose function bends, so that saturation is its own and not a stand-in. */
export const bends = (id: NormId): boolean => normSpec(id).reference.bend !== undefined;

/**
 * Where each parameter lies in theta[P]: those of a value a channel first, in the order of the entry, so that where C
 * is divisible by 4 each of them is read four values at a time. The only place offsets are computed.
 */
export function thetaLayout(id: NormId, C: number): { offsets: Record<string, number>; P: number } {
  const offsets: Record<string, number> = {};
  let P = 0;
  const params = Object.entries(normSpec(id).params);
  for (const [name, { size }] of params.toSorted(
    ([, a], [, b]) => Number(a.size === 1) - Number(b.size === 1),
  )) {
    offsets[name] = P;
    P += size === 'C' ? C : size;
  }
  return { offsets, P };
}
