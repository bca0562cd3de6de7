import { normSpec } from '../../norm/registry.ts';
import { fitDraftOf, shownFit } from '../../store/fit.ts';
import type { FitDraft, FitLive, KeptFit } from '../../store/fit.ts';
import { number } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';
import { History } from './History.tsx';
import { Result } from './Result.tsx';
import { leftWords, Running } from './Running.tsx';
import { Setup } from './Setup.tsx';
import { Sites } from './Sites.tsx';
import { secondsOf, STAGE_WORDS } from './words.ts';
import '../bench/bench.css';
import './fit.css';

/** Another norm in a trained model: where, fitted how and on what; what it costs; and where it goes from here. */
export function FitPage() {
  const { session } = useWires();
  const fit = useExperiment((state) => state.fit);
  const environment = useExperiment((state) => state.run.environment);
  const info = useExperiment((state) => state.run.info);
  const loaded = useExperiment((state) => state.run.loaded);
  const phase = useExperiment((state) => state.run.phase);
  const draft = fitDraftOf(fit, environment, info);
  const sites = loaded?.sites ?? [];
  const { live, kept } = fit;
  const shown = shownFit(fit);
  const isBusy = phase === 'fitting' || live !== null;
  const isOn = sites.some(({ id }) => !draft.off.includes(id));
  return (
    <div className="bench fit-page">
      <aside aria-label="What to fit">
        <Setup draft={draft} info={info} isBusy={isBusy} />
        {isBusy ? (
          <button type="button" disabled={phase !== 'fitting'} onClick={() => session.stop()}>
            {phase === 'fitting' ? 'Stop, keep what was fitted' : 'Stopping…'}
          </button>
        ) : (
          <button
            type="button"
            className="primary"
            disabled={!info || !isOn || environment?.device !== 'gpu'}
            onClick={() => void session.fit()}
          >
            Fit
          </button>
        )}
        {environment?.device === 'cpu' && (
          <p className="soft">
            A fit runs the model and its gradients on a GPU, and this browser offers no WebGPU. Fits of other
            machines can be opened, looked at and run.
          </p>
        )}
        <div className="bench-progress">
          <p role="status">
            <StatusWords live={live} isBusy={isBusy} isLoading={!loaded} latest={shown} />
          </p>
        </div>
        <History />
      </aside>
      <div className="bench-main">
        {live && <Running live={live} />}
        {shown ? (
          <Result key={shown.key} shown={shown} kept={kept} isBusy={isBusy} />
        ) : (
          !live && <Invitation draft={draft} />
        )}
        {sites.length > 0 && <Sites sites={sites} draft={draft} shown={shown} live={live} isBusy={isBusy} />}
      </div>
    </div>
  );
}

function StatusWords({
  live,
  isBusy,
  isLoading,
  latest,
}: {
  readonly live: FitLive | null;
  readonly isBusy: boolean;
  readonly isLoading: boolean;
  readonly latest: KeptFit | null;
}) {
  if (live)
    return (
      <>
        {STAGE_WORDS[live.stage]} <span className="soft">{leftWords(live)}</span>
      </>
    );
  if (isBusy) return 'Starting';
  const words = !latest
    ? isLoading
      ? 'Waiting for the weights…'
      : 'Ready to fit'
    : latest.report.isStopped
      ? 'Stopped; what was fitted is kept'
      : `Fitted in ${number(secondsOf(latest.report), 3)} s`;
  return <span className="soft">{words}</span>;
}

/** Before the first fit: the question, what is known, and what will be measured. */
function Invitation({ draft: { base, member } }: { readonly draft: FitDraft }) {
  const [theirs, ours] = [normSpec(base).label, normSpec(member).label];
  return (
    <section className="bench-invitation">
      <h2>
        Can {ours} take {theirs}’s place in a model that is already trained?
      </h2>
      <p>
        Put in fresh, as the DyT repository converts (γ = 1, β = 0, half the gain), a new module destroys the
        model: that conversion is meant for training from scratch. One gain cannot serve all sites either: in
        GPT-2 small the spread of a site’s input grows a hundredfold from the first layer to the last. What
        calibration can save has not been published. So, on your machine:
      </p>
      <ol>
        <li>Every chosen site’s input and output are collected from the original model.</li>
        <li>{ours} is fitted to them by the method you choose, and by others after that, to compare.</li>
        <li>
          On text that no fit sees: loss, distance to the original and agreement on the likeliest token,
          beside the raw swap, the fresh module, a frozen σ, and a twin that was trained with it where there
          is one.
        </li>
        <li>Take the result to the microscope, to PyTorch, or to ONNX.</li>
      </ol>
    </section>
  );
}
