import {
  DTYPES,
  ENGINE_BASELINES,
  FORMS,
  FUSIONS,
  LEVELS,
  NORM_BASELINES,
  REGIMES,
  SUITES,
} from '../../bench/spec.ts';
import type { NormsSpec, Shape } from '../../bench/spec.ts';
import { MAIN_NORM_IDS, normSpec } from '../../norm/registry.ts';
import type { BenchDraft } from '../../store/bench.ts';
import { normColor } from '../colors.ts';
import { Choices, Sizes } from '../controls/Choices.tsx';
import { useIsDark } from '../hooks.ts';
import { LEVEL_WORDS, shapeName } from './words.ts';

const SUITE_WORDS = { norms: 'Norms alone', model: 'Whole model' } as const;
const OPTION_WORDS = {
  tuned: ['tuned', 'The fastest form for this machine'],
  plain: ['plain', 'The copy to read: one lane a value, straight from memory'],
  f32: ['f32', 'Four bytes a value in memory'],
  f16: ['f16', 'Two bytes a value in memory, arithmetic in f32'],
  hot: ['hot', 'x was just written, as in a model'],
  cold: ['cold', 'Buffers in turn, together larger than the caches'],
  separate: ['separate', 'One dispatch an operation'],
  fold: ['γ, β folded', 'γ and β in the Linear after the norm: exact algebra'],
  prologue: ['norm in the matmul', 'The norm is taken where the Linear reads x: one dispatch less'],
  residual: ['residual in the norm', 'The norm adds the Linear’s output to the stream itself'],
  copy: ['copy kernel', 'As many bytes read and written, and nothing computed'],
  native: ['native EP', 'onnxruntime-web on WebGPU, its C++ kernels'],
  jsep: ['JSEP', 'onnxruntime-web on WebGPU, its older TypeScript kernels'],
  wasm: ['WASM', 'onnxruntime-web on the processor'],
} as const;
const RESIDUAL_WORDS = [
  [false, 'alone', 'y = norm(x)'],
  [true, 'with residual', 'x += delta, then y = norm(x): two operations in one'],
] as const;

/** What to measure: one suite, its contestants, sizes and conditions. */
export function Setup({
  draft,
  isBusy,
  onChange,
}: {
  readonly draft: BenchDraft;
  readonly isBusy: boolean;
  readonly onChange: (draft: BenchDraft) => void;
}) {
  const isDark = useIsDark();
  const { suite, norms, model } = draft;
  const isNorms = suite === 'norms';
  const measured = isNorms ? norms : model;
  const members = isNorms ? norms.members : draft.members;
  const setNorms = (patch: Partial<NormsSpec>): void => onChange({ ...draft, norms: { ...norms, ...patch } });
  const setModel = (patch: Partial<BenchDraft['model']>): void =>
    onChange({ ...draft, model: { ...model, ...patch } });
  const setMeasured = (patch: Partial<Pick<NormsSpec, 'levels' | 'budgetMs' | 'rounds'>>): void =>
    isNorms ? setNorms(patch) : setModel(patch);
  const words = (id: keyof typeof OPTION_WORDS) => OPTION_WORDS[id];
  return (
    <fieldset className="bench-setup" disabled={isBusy}>
      <div className="segments" role="radiogroup" aria-label="Suite">
        {SUITES.map((id) => (
          <label key={id} className={suite === id ? 'on' : ''}>
            <input
              type="radio"
              name="suite"
              checked={suite === id}
              onChange={() => onChange({ ...draft, suite: id })}
            />
            {SUITE_WORDS[id]}
          </label>
        ))}
      </div>
      <Choices
        legend="Norms"
        options={MAIN_NORM_IDS.map((id) => [id, normSpec(id).label, normSpec(id).idea] as const)}
        chosen={members}
        color={(id) => normColor(id, isDark)}
        onChange={(chosen) =>
          isNorms ? setNorms({ members: chosen }) : onChange({ ...draft, members: chosen })
        }
      />
      {isNorms ? (
        <>
          <Sizes
            legend="Shapes, tokens × channels"
            sizes={norms.shapes}
            name={shapeName}
            fields={['T', 'C']}
            make={([T = 0, C = 0]) => ({ T, C })}
            onChange={(shapes: readonly Shape[]) => setNorms({ shapes })}
          />
          <Choices
            legend="In memory"
            options={DTYPES.map((id) => [id, ...words(id)] as const)}
            chosen={norms.dtypes}
            onChange={(dtypes) => setNorms({ dtypes })}
          />
          <Choices
            legend="Kernels"
            options={FORMS.map((id) => [id, ...words(id)] as const)}
            chosen={norms.forms}
            onChange={(forms) => setNorms({ forms })}
          />
          <Choices
            legend="Together with"
            options={RESIDUAL_WORDS}
            chosen={norms.hasResidual}
            onChange={(hasResidual) => setNorms({ hasResidual })}
          />
          <Choices
            legend="Caches"
            options={REGIMES.map((id) => [id, ...words(id)] as const)}
            chosen={norms.regimes}
            onChange={(regimes) => setNorms({ regimes })}
          />
          <Choices
            legend="Beside"
            options={NORM_BASELINES.map((id) => [id, ...words(id)] as const)}
            chosen={norms.baselines}
            mayBeEmpty
            onChange={(baselines) => setNorms({ baselines })}
          />
        </>
      ) : (
        <>
          <Choices
            legend="Weights"
            isOne
            options={
              [
                [
                  'twin',
                  'twins',
                  'Each norm with the weights that were trained with it, where there are such',
                ],
                ['raw', 'one twin', 'All norms on the same weights: only the operation differs'],
              ] as const
            }
            chosen={[draft.weights]}
            onChange={([weights = 'twin']) => onChange({ ...draft, weights })}
          />
          <Sizes
            legend="Prefill, tokens at once"
            sizes={model.prompts}
            name={String}
            fields={['tokens']}
            make={([tokens = 0]) => tokens}
            onChange={(prompts: readonly number[]) => setModel({ prompts })}
          />
          <Sizes
            legend="Decode, one token after"
            sizes={model.decodes}
            name={String}
            fields={['cached tokens']}
            make={([tokens = 0]) => tokens}
            onChange={(decodes: readonly number[]) => setModel({ decodes })}
          />
          <Choices
            legend="Kernels"
            options={FUSIONS.map((id) => [id, ...words(id)] as const)}
            chosen={model.fusions}
            onChange={(fusions) => setModel({ fusions })}
          />
          <Choices
            legend="Beside"
            options={ENGINE_BASELINES.map((id) => [id, ...words(id)] as const)}
            chosen={model.baselines}
            mayBeEmpty
            onChange={(baselines) => setModel({ baselines })}
          />
        </>
      )}
      <Choices
        legend="Clocks"
        options={LEVELS.filter((id) => !isNorms || id !== 'user').map(
          (id) => [id, LEVEL_WORDS[id].short, LEVEL_WORDS[id].about] as const,
        )}
        chosen={measured.levels}
        onChange={(levels) => setMeasured({ levels })}
      />
      <label className="bench-budget">
        <span>At most</span>
        <input
          type="range"
          min={5}
          max={300}
          step={5}
          value={measured.budgetMs / 1000}
          onChange={(event) => setMeasured({ budgetMs: 1000 * Number(event.target.value) })}
        />
        <b>{measured.budgetMs / 1000} s</b>
      </label>
    </fieldset>
  );
}
