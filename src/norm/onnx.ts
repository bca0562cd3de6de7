// The norm family in ONNX operators (opset 23). A recipe is part of a member's registry entry.

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
  /** RMSNormalization exists from 23. */
  readonly opset: number;
};

/**
 * `core`: the value before γ and β, which the writer applies as Mul and Add or folds into the next Linear.
 * `whole`: an operator that takes γ and β itself (`gamma` and `beta` of `param`, ones and zeros once folded).
 */
export type OnnxRecipe = { readonly kind: 'core' | 'whole'; readonly write: (norm: OnnxNorm) => string };

/** x is [batch, tokens, C]; operators over channels want [batch, C, tokens]. */
function overChannels({ op, x }: OnnxNorm, write: (turned: string) => string): string {
  return op('Transpose', [write(op('Transpose', [x], { perm: [0, 2, 1] }))], { perm: [0, 2, 1] });
}

export const none: OnnxRecipe = { kind: 'core', write: ({ x }) => x };

export const layernorm: OnnxRecipe = {
  kind: 'whole',
  write: ({ op, x, param, eps }) =>
    op('LayerNormalization', [x, param('gamma'), param('beta')], { axis: -1, epsilon: eps }),
};

export const rmsnorm: OnnxRecipe = {
  kind: 'whole',
  write: ({ op, x, param, number, lastAxis, eps, opset }) => {
    if (opset >= 23)
      return op('Add', [
        op('RMSNormalization', [x, param('gamma')], { axis: -1, epsilon: eps }),
        param('beta'),
      ]);
    const square = op('ReduceMean', [op('Mul', [x, x]), lastAxis()], { keepdims: 1 });
    const core = op('Div', [x, op('Sqrt', [op('Add', [square, number(eps)])])]);
    return op('Add', [op('Mul', [core, param('gamma')]), param('beta')]);
  },
};

export const instancenorm: OnnxRecipe = {
  kind: 'whole',
  write: (norm) =>
    overChannels(norm, (turned) =>
      norm.op('InstanceNormalization', [turned, norm.param('gamma'), norm.param('beta')], {
        epsilon: norm.eps,
      }),
    ),
};

export const batchnorm: OnnxRecipe = {
  kind: 'whole',
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
  write: ({ op, x, param }) => op('Tanh', [op('Mul', [x, param('alpha')])]),
};

export const derf: OnnxRecipe = {
  kind: 'core',
  write: ({ op, x, param }) => op('Erf', [op('Add', [op('Mul', [x, param('alpha')]), param('shift')])]),
};

export const dyisru: OnnxRecipe = {
  kind: 'core',
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
