import type { CSSProperties } from 'react';
import { trainedNorms } from '../../model/catalog.ts';
import type { ModelInfo } from '../../model/catalog.ts';
import { bends, isNormId, normSpec } from '../../norm/registry.ts';
import type { NormId } from '../../norm/registry.ts';
import {
  chooseFitBase,
  FITTABLE,
  hasTexts,
  methodsOf,
  setFitDraft,
  siteMethodOf,
  TEXTS,
} from '../../store/fit.ts';
import type { FitDraft, TextFrom } from '../../store/fit.ts';
import { FileButton } from '../controls/FileButton.tsx';
import { normColor } from '../colors.ts';
import { Choices, Row, Sizes } from '../controls/Choices.tsx';
import { NumberField } from '../controls/NumberField.tsx';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import { METHOD_WORDS } from './words.ts';

const TEXT_WORDS: Record<TextFrom, readonly [label: string, about: string]> = {
  bundled: ['bundled windows', 'Passages of the training text that the model brings along'],
  own: ['your own text', 'Write it here, or drop a .txt file on the page'],
};
const FIRST_WORDS = [
  ['shared', 'as all others', 'One gain a site'],
  ['own', 'a gain of its own', 'The first token’s σ is another one; a site’s second gain is for it alone'],
] as const;

/** What to put where, how, and on which text. */
export function Setup({
  draft,
  info,
  isBusy,
}: {
  readonly draft: FitDraft;
  readonly info: ModelInfo | null;
  readonly isBusy: boolean;
}) {
  const { store } = useWires();
  const isDark = useIsDark();
  const { base, member, members, method, kappas, tune } = draft;
  const set = (patch: Partial<FitDraft>): void => setFitDraft(store, patch);
  const put = (id: NormId): void => set({ member: id, members: {} });
  const used = [member, ...Object.values(members)];
  const sites = useExperiment((state) => state.run.loaded?.sites);
  const hasClip =
    sites?.some(({ id }) => !draft.off.includes(id) && siteMethodOf(draft, id) === 'clip') ??
    method === 'clip';
  return (
    <fieldset className="bench-setup" disabled={isBusy}>
      <label className="fit-weights">
        <span className="word">Weights trained with</span>
        <select
          value={base}
          onChange={({ target }) => isNormId(target.value) && chooseFitBase(store, target.value, draft)}
        >
          {(info ? trainedNorms(info) : [base]).map((id) => (
            <option key={id} value={id}>
              {normSpec(id).label}
            </option>
          ))}
        </select>
      </label>
      <Choices
        legend="Put in its place"
        isOne
        options={FITTABLE.filter((id) => id !== base && !normSpec(id).isGallery).map(
          (id) => [id, normSpec(id).label, normSpec(id).idea] as const,
        )}
        chosen={[member]}
        color={(id) => normColor(id, isDark)}
        onChange={([id = member]) => put(id)}
      >
        <select
          className={`chip ${normSpec(member).isGallery ? 'on' : ''}`}
          aria-label="More norms"
          value={normSpec(member).isGallery ? member : ''}
          onChange={({ target }) => isNormId(target.value) && put(target.value)}
        >
          <option value="" disabled>
            more
          </option>
          {FITTABLE.filter((id) => normSpec(id).isGallery).map((id) => (
            <option key={id} value={id}>
              {normSpec(id).label}
            </option>
          ))}
        </select>
      </Choices>
      <div className="fit-methods" role="radiogroup" aria-label="Method">
        <span className="word">Fitted by</span>
        {methodsOf(draft).map((id) => (
          <label
            key={id}
            title={METHOD_WORDS[id].about}
            className={method === id ? 'on' : ''}
            style={{ '--member': normColor(member, isDark) } as CSSProperties}
          >
            <input
              type="radio"
              name="method"
              checked={method === id}
              onChange={() => set({ method: id, methods: {} })}
            />
            <b>{METHOD_WORDS[id].name}</b>
            <small className="soft">{METHOD_WORDS[id].short}</small>
          </label>
        ))}
      </div>
      {hasClip && (
        <Sizes
          legend="Clip levels κ to try"
          sizes={kappas}
          name={String}
          fields={['κ']}
          make={([kappa = 1]) => kappa}
          isAllowed={(kappa) => kappa > 0 && kappa <= 1000}
          onChange={(next: readonly number[]) => set({ kappas: next.toSorted((a, b) => a - b) })}
        />
      )}
      {method === 'fine-tune' && (
        <Row legend="Gradient descent">
          <NumberField
            label="steps"
            value={tune.steps}
            min={1}
            max={10_000}
            onChange={(steps) => set({ tune: { ...tune, steps } })}
          />
          <NumberField
            label="rate"
            value={tune.learningRate}
            min={1e-6}
            max={10}
            isWhole={false}
            title="Learning rate at the start"
            onChange={(learningRate) => set({ tune: { ...tune, learningRate } })}
          />
          <NumberField
            label="passage"
            value={tune.windowTokens}
            min={2}
            max={4096}
            title="Tokens that a step runs, at most"
            onChange={(windowTokens) => set({ tune: { ...tune, windowTokens } })}
          />
          <NumberField
            label="seed"
            value={tune.seed}
            min={0}
            max={2 ** 31}
            onChange={(seed) => set({ tune: { ...tune, seed } })}
          />
        </Row>
      )}
      {used.some(bends) && (
        <Choices
          legend="The first token has"
          isOne
          options={FIRST_WORDS}
          chosen={[draft.firstToken]}
          onChange={([firstToken = 'shared']) => set({ firstToken })}
        />
      )}
      <Text draft={draft} info={info} />
    </fieldset>
  );
}

/** The text to fit on, and how much of it. */
function Text({ draft, info }: { readonly draft: FitDraft; readonly info: ModelInfo | null }) {
  const { store, session } = useWires();
  const ownTokens = useExperiment((state) => state.fit.ownTokens);
  const context = useExperiment((state) => state.run.loaded?.context ?? 0);
  const { text, own, ownName, windows } = draft;
  const isBundled = !info || hasTexts(info);
  const set = (patch: Partial<FitDraft['windows']>): void =>
    setFitDraft(store, { windows: { ...windows, ...patch } });
  return (
    <>
      <Choices
        legend="Fit on"
        isOne
        options={TEXTS.filter((id) => isBundled || id === 'own').map(
          (id) => [id, ...TEXT_WORDS[id]] as const,
        )}
        chosen={[text]}
        onChange={([from = 'bundled']) => setFitDraft(store, { text: from })}
      />
      {text === 'own' && (
        <div className="fit-text">
          <textarea
            rows={4}
            aria-label="Text to fit on"
            placeholder="Some pages of the text that the model is for"
            value={own}
            onChange={(event) => setFitDraft(store, { own: event.target.value, ownName: null })}
          />
          <p className="soft">
            {ownWords(own, ownName, ownTokens, context)}{' '}
            <FileButton
              words="Open .txt…"
              label="Text file to fit on"
              accept=".txt,text/plain"
              isQuiet
              onFiles={(files) => void session.openFiles(files)}
            />
          </p>
        </div>
      )}
      <Row legend={`Windows of ${context || '…'} tokens, at most`}>
        <NumberField
          label="fit on"
          value={windows.calibration}
          min={1}
          max={256}
          onChange={(calibration) => set({ calibration })}
        />
        <NumberField
          label="measure on"
          value={windows.heldOut}
          min={1}
          max={256}
          onChange={(heldOut) => set({ heldOut })}
        />
        <NumberField
          label="sites on"
          value={windows.table}
          min={0}
          max={256}
          title="Two forwards a site and window; 0 leaves the costs of single sites out"
          onChange={(table) => set({ table })}
        />
      </Row>
      <p className="soft fit-note">
        {isBundled
          ? 'The held-out windows are never fitted on.'
          : 'This model brings no text: the last quarter of yours is measured on and not fitted on.'}
      </p>
    </>
  );
}

function ownWords(own: string, name: string | null, tokens: number | null, context: number): string {
  if (own === '') return 'Nothing yet.';
  if (tokens === null) return 'Counting tokens…';
  const windows = context > 0 ? Math.max(1, Math.floor((tokens + 1) / context)) : 1;
  return `${name ? `${name}: ` : ''}${tokens.toLocaleString('en')} tokens, ${windows} ${windows === 1 ? 'window' : 'windows'}.`;
}
