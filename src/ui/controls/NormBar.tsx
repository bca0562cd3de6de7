import type { CSSProperties } from 'react';
import { firstTwin, trainedNorms } from '../../model/catalog.ts';
import { isBrought } from '../../model/model-id.ts';
import { planSource, SITE_KINDS } from '../../model/plan.ts';
import { GALLERY_IDS, isNormId, MAIN_NORM_IDS, normSpec } from '../../norm/registry.ts';
import type { NormId } from '../../norm/registry.ts';
import { leaveOwn, openEditor, setOwn } from '../../store/own.ts';
import {
  chooseNorm,
  chooseWeights,
  hasGain,
  planOf,
  setConfig,
  shownNorm,
  sitesThatSeeAhead,
} from '../../store/store.ts';
import type { Scope, State, WeightsMode } from '../../store/store.ts';
import { normColor } from '../colors.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import { AlphaSlider } from './AlphaSlider.tsx';
import { PlanBadge } from './Badge.tsx';

const KIND_LABELS = {
  all: 'all sites',
  embedding: 'the embedding site',
  attention: 'attention sites',
  mlp: 'MLP sites',
  final: 'the final site',
} as const;

/** Where weights come from: twins of the page, or one's own model, which has none. */
const MODES: Record<'twins' | 'own', readonly (readonly [WeightsMode, label: string, about: string])[]> = {
  twins: [
    ['twin', 'Twin', 'Load the weights that were trained with this norm'],
    ['raw', 'Raw swap', 'Keep the weights of one twin and change only the operation'],
  ],
  own: [
    ['twin', 'As trained', 'Every site with the norm its weights were trained with'],
    ['raw', 'Raw swap', 'Keep the weights and change only the operation'],
  ],
};

const isInLayers = (kind: Scope['kind']): boolean => kind !== 'final' && kind !== 'embedding';

const selectShown = ({ config, run }: State) => shownNorm(config, run.loaded?.sites ?? []);

/** One sentence: normalize with … at … sites, weights …, α × …. */
export function NormBar() {
  const { store } = useWires();
  const config = useExperiment((state) => state.config);
  const info = useExperiment((state) => state.run.info);
  const sites = useExperiment((state) => state.run.loaded?.sites);
  const shown = useExperiment(selectShown);
  const isDark = useIsDark();
  const trained = info ? trainedNorms(info) : [];
  const isRaw = config.weights === 'raw';
  const isOwn = isBrought(config.model);
  const canSwap = isRaw || isOwn;
  const layers = [...new Set((sites ?? []).flatMap(({ layer }) => (layer === null ? [] : [layer])))];
  const kinds = (['all', ...SITE_KINDS] as const).filter(
    (kind) => kind === 'all' || !sites || sites.some((site) => site.kind === kind),
  );
  const setScope = (patch: Partial<Scope>): void =>
    setConfig(store, { scope: { ...config.scope, ...patch } });
  const base = config.base;
  return (
    <div className="norm-bar">
      <span className="word">Normalize with</span>
      <div className="segments" role="radiogroup" aria-label="Normalization">
        {MAIN_NORM_IDS.map((id) => {
          const isTrained = trained.includes(id);
          const { label, idea } = normSpec(id);
          return (
            <label
              key={id}
              className={`${shown === id ? 'on' : ''} ${isTrained || canSwap ? '' : 'untrained'}`}
              style={{ '--member': normColor(id, isDark) } as CSSProperties}
              title={
                isTrained || canSwap || !info
                  ? idea
                  : `${idea} No twin was trained with it: choose Raw swap first.`
              }
            >
              <input
                type="radio"
                name="norm"
                value={id}
                checked={shown === id}
                disabled={!isTrained && !canSwap}
                onChange={() => chooseNorm(store, id)}
              />
              <i className="dot" aria-hidden />
              {label}
            </label>
          );
        })}
      </div>
      <Gallery shown={shown} />
      <span className="word">at</span>
      <select
        aria-label="Sites"
        value={config.scope.kind}
        disabled={!isRaw}
        title={
          isRaw
            ? 'Which sites the norm is put at'
            : isOwn
              ? 'Each site has the norm it was trained with. Choose Raw swap to mix.'
              : 'A twin has its norm at every site. Choose Raw swap to mix.'
        }
        onChange={(event) => {
          const kind = kinds.find((k) => k === event.target.value) ?? 'all';
          setScope(isInLayers(kind) ? { kind } : { kind, layer: 'all' });
        }}
      >
        {kinds.map((kind) => (
          <option key={kind} value={kind}>
            {KIND_LABELS[kind]}
          </option>
        ))}
      </select>
      {isRaw && isInLayers(config.scope.kind) && (
        <select
          aria-label="Layers"
          value={String(config.scope.layer)}
          onChange={(event) =>
            setScope({ layer: event.target.value === 'all' ? 'all' : Number(event.target.value) })
          }
        >
          <option value="all">in all layers</option>
          {layers.map((layer) => (
            <option key={layer} value={layer}>
              in layer {layer}
            </option>
          ))}
        </select>
      )}
      <span className="word">weights</span>
      <div className="segments" role="radiogroup" aria-label="Weights">
        {MODES[isOwn ? 'own' : 'twins'].map(([mode, label, about]) => (
          <label key={mode} className={config.weights === mode ? 'on' : ''} title={about}>
            <input
              type="radio"
              name="weights"
              checked={config.weights === mode}
              onChange={() => chooseWeights(store, mode)}
            />
            {label}
          </label>
        ))}
      </div>
      {isRaw && !isOwn && (
        <label className="inline-choice">
          <span>of</span>
          <select
            aria-label="Base twin"
            value={base}
            onChange={(event) => {
              const { value } = event.target;
              setConfig(store, {
                base: isNormId(value) ? value : info ? firstTwin(info) : base,
                fitted: null,
              });
            }}
          >
            {trained.map((id) => (
              <option key={id} value={id}>
                {normSpec(id).label}
              </option>
            ))}
          </select>
        </label>
      )}
      <PlanBadge plan={planOf(config, sites ?? [])} />
      {planSource(planOf(config, sites ?? [])) === 'fitted' && (
        <button
          type="button"
          className="quiet"
          title="The same swap on the same weights, without the fitted values"
          onClick={() => setConfig(store, { fitted: null })}
        >
          let go of the fit
        </button>
      )}
      <OwnButtons shown={shown} />
      <AlphaSlider isUsed={hasGain(config, sites ?? [])} />
      <Explanation />
    </div>
  );
}

/** The way into the WGSL of the norm, and back out of a text of one's own. */
function OwnButtons({ shown }: { readonly shown: NormId | null }) {
  const { store } = useWires();
  const own = useExperiment((state) => state.config.own);
  const isOpen = useExperiment((state) => state.own.isOpen);
  const base = useExperiment((state) => state.config.base);
  return (
    <>
      <button
        type="button"
        className="quiet"
        aria-expanded={isOpen}
        title="Open the WGSL that computes this norm, change it, and run the model with it"
        onClick={() =>
          isOpen ? setOwn(store, { isOpen: false }) : openEditor(store, own?.norm ?? shown ?? base)
        }
      >
        {isOpen ? 'Close WGSL' : 'Edit WGSL'}
      </button>
      {own && (
        <button
          type="button"
          className="quiet"
          title="Run the norm’s own text again. Yours stays in the editor."
          onClick={() => leaveOwn(store)}
        >
          Back to {normSpec(own.norm).label}
        </button>
      )}
    </>
  );
}

/** Members that nothing was trained with: raw swaps, chosen as such at once. */
function Gallery({ shown }: { readonly shown: NormId | null }) {
  const { store } = useWires();
  const isOn = shown !== null && GALLERY_IDS.includes(shown);
  return (
    <select
      className={`gallery ${isOn ? 'on' : ''}`}
      aria-label="More norms"
      title="More functions of the DyT and Derf papers, put on the weights of a twin"
      value={isOn ? shown : ''}
      onChange={(event) => {
        const { value } = event.target;
        if (!isNormId(value)) return;
        chooseWeights(store, 'raw');
        chooseNorm(store, value);
      }}
    >
      <option value="" disabled>
        more
      </option>
      {GALLERY_IDS.map((id) => (
        <option key={id} value={id}>
          {normSpec(id).label}
        </option>
      ))}
    </select>
  );
}

/** What the choice means, and what it costs. */
function Explanation() {
  const config = useExperiment((state) => state.config);
  const info = useExperiment((state) => state.run.info);
  const sites = useExperiment((state) => state.run.loaded?.sites);
  const shown = useExperiment(selectShown);
  const plan = planOf(config, sites ?? []);
  const ahead = sitesThatSeeAhead(plan);
  const seers = [...new Set(ahead.flatMap((id) => plan.sites[id]?.norm ?? []))].map(
    (id) => normSpec(id).label,
  );
  const isOwn = isBrought(config.model);
  const untrained = info
    ? MAIN_NORM_IDS.filter((id) => info.twins[id] === undefined).map((id) => normSpec(id).label)
    : [];
  return (
    <p className="idea">
      {shown
        ? config.own?.norm === shown
          ? `A text of your own computes this, with the parameters of ${normSpec(shown).label}.`
          : normSpec(shown).idea
        : 'The sites in scope have different norms; choosing one puts it at all of them.'}
      {config.weights === 'raw' && shown !== config.base && (
        <>
          {' '}
          {planSource(plan) === 'fitted' ? 'Fitted to' : 'Raw swap on'}{' '}
          {isOwn ? 'weights trained with ' : 'the weights of the '}
          {normSpec(config.base).label}
          {isOwn ? '' : ' twin'}.
        </>
      )}
      {config.weights === 'twin' && isOwn && <> Choose another to put it on these weights.</>}
      {config.weights === 'twin' && !isOwn && untrained.length > 0 && (
        <> No twin was trained with {untrained.join(' or ')}: raw swap only.</>
      )}
      {ahead.length > 0 && (
        <>
          {' '}
          {seers.join(' and ')}
          {ahead.length === sites?.length ? '' : ` at ${ahead.join(', ')}`} sees future tokens: generating
          recomputes the whole prefix at every token.
        </>
      )}
    </p>
  );
}
