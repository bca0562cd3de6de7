// The norm family in ONNX operators: how a member is written (opset 13 and later) and how it is known in files of
// others. A recipe is part of a member's registry entry.

/** Adds a node and names its one output. */
export type OnnxOp = (
  type: string,
  inputs: readonly string[],
  attributes?: Readonly<Record<string, number | string | readonly number[]>>,
) => string;

/** What a recipe is given: names of tensors. `param` has the member's own parameters by name; [C] or [1] each. */
export type OnnxNorm = {
  readonly op: OnnxOp;
  readonly x: string;
  readonly param: (name: string) => string;
  /** A number as a tensor [1]. */
  readonly number: (value: number) => string;
  /** The channels' axis as an operator takes it that reduces. */
  readonly lastAxis: () => string;
  readonly eps: number;
  /** Statistics are to be taken from the tokens of the input. */
  readonly isMeasured: boolean;
  /** LayerNormalization exists from 17, RMSNormalization from 23; before them, a member is written in plain steps. */
  readonly opset: number;
};

/**
 * `core`: the value before γ and β, which the writer applies as Mul and Add or folds into the next Linear.
 * `whole`: an operator that takes γ and β itself (`gamma` and `beta` of `param`, ones and zeros once folded).
 */
export type OnnxRecipe = {
  readonly kind: 'core' | 'whole';
  readonly write: (norm: OnnxNorm) => string;
  /** Operators of ONNX and of onnxruntime that are this member. */
  readonly operators?: readonly string[];
  /** What its plain steps turn on, where exporters write it as such. */
  readonly core?: OnnxCore;
};

/**
 * `centred`: (x − mean) / √(mean of its square + ε); `square`: x / √(mean(x²) + ε); `value`: x / √(x² + b);
 * `Tanh` and `Erf`: that operator of αx, or αx + s.
 */
export type OnnxCore = 'centred' | 'square' | 'value' | 'Tanh' | 'Erf';

/** Mean over the channels of each token; the axis is an input from opset 18. */
const meanOf = ({ op, lastAxis, opset }: OnnxNorm, x: string): string =>
  opset >= 18
    ? op('ReduceMean', [x, lastAxis()], { keepdims: 1 })
    : op('ReduceMean', [x], { axes: [-1], keepdims: 1 });

/** x / √(mean(x²) + ε), then γ and β. */
function perRms(norm: OnnxNorm, x: string): string {
  const { op, param, number, eps } = norm;
  const root = op('Sqrt', [op('Add', [meanOf(norm, op('Mul', [x, x])), number(eps)])]);
  return op('Add', [op('Mul', [op('Div', [x, root]), param('gamma')]), param('beta')]);
}

/** x is [batch, tokens, C]; operators over channels want [batch, C, tokens]. */
function overChannels({ op, x }: OnnxNorm, write: (turned: string) => string): string {
  return op('Transpose', [write(op('Transpose', [x], { perm: [0, 2, 1] }))], { perm: [0, 2, 1] });
}

export const none: OnnxRecipe = { kind: 'core', write: ({ x }) => x };

export const layernorm: OnnxRecipe = {
  kind: 'whole',
  operators: ['LayerNormalization', 'SkipLayerNormalization'],
  core: 'centred',
  write: (norm) => {
    const { op, x, param, eps, opset } = norm;
    return opset >= 17
      ? op('LayerNormalization', [x, param('gamma'), param('beta')], { axis: -1, epsilon: eps })
      : perRms(norm, op('Sub', [x, meanOf(norm, x)]));
  },
};

export const rmsnorm: OnnxRecipe = {
  kind: 'whole',
  operators: ['RMSNormalization', 'SimplifiedLayerNormalization', 'SkipSimplifiedLayerNormalization'],
  core: 'square',
  write: (norm) => {
    const { op, x, param, eps, opset } = norm;
    return opset >= 23
      ? op('Add', [op('RMSNormalization', [x, param('gamma')], { axis: -1, epsilon: eps }), param('beta')])
      : perRms(norm, x);
  },
};

export const instancenorm: OnnxRecipe = {
  kind: 'whole',
  operators: ['InstanceNormalization'],
  write: (norm) =>
    overChannels(norm, (turned) =>
      norm.op('InstanceNormalization', [turned, norm.param('gamma'), norm.param('beta')], {
        epsilon: norm.eps,
      }),
    ),
};

export const batchnorm: OnnxRecipe = {
  kind: 'whole',
  operators: ['BatchNormalization'],
  write: (norm) =>
    norm.isMeasured
      ? instancenorm.write(norm)
      : overChannels(norm, (turned) =>
          norm.op(
            'BatchNormalization',
            [turned, ...['gamma', 'beta', 'running_mean', 'running_var'].map((name) => norm.param(name))],
            { epsilon: norm.eps },
          ),
        ),
};

export const dyt: OnnxRecipe = {
  kind: 'core',
  core: 'Tanh',
  write: ({ op, x, param }) => op('Tanh', [op('Mul', [x, param('alpha')])]),
};

export const derf: OnnxRecipe = {
  kind: 'core',
  core: 'Erf',
  write: ({ op, x, param }) => op('Erf', [op('Add', [op('Mul', [x, param('alpha')]), param('shift')])]),
};

export const dyisru: OnnxRecipe = {
  kind: 'core',
  core: 'value',
  write: ({ op, x, param }) => op('Div', [x, op('Sqrt', [op('Add', [op('Mul', [x, x]), param('b')])])]),
};

const driveOf = ({ op, x, param }: OnnxNorm): string => op('Mul', [x, param('alpha')]);
const shiftedDrive = (norm: OnnxNorm): string => norm.op('Add', [driveOf(norm), norm.param('shift')]);
/** Clip wants scalars; Min and Max take tensors as they are here. */
const held = ({ op, number }: OnnxNorm, u: string, to: number): string =>
  op('Min', [op('Max', [u, number(-to)]), number(to)]);

export const dyhardtanh: OnnxRecipe = { kind: 'core', write: (norm) => held(norm, driveOf(norm), 1) };

export const dysigmoid: OnnxRecipe = { kind: 'core', write: (norm) => norm.op('Sigmoid', [driveOf(norm)]) };

export const dyarctan: OnnxRecipe = {
  kind: 'core',
  write: (norm) => norm.op('Mul', [norm.op('Atan', [shiftedDrive(norm)]), norm.number(2 / Math.PI)]),
};

export const dysoftsign: OnnxRecipe = {
  kind: 'core',
  write: (norm) => norm.op('Softsign', [shiftedDrive(norm)]),
};

export const dysatursin: OnnxRecipe = {
  kind: 'core',
  write: (norm) => norm.op('Sin', [held(norm, shiftedDrive(norm), Math.PI / 2)]),
};
