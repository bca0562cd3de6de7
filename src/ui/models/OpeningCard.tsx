import type { CSSProperties } from 'react';
import type { Survey } from '../../engine/api.ts';
import type { Progress } from '../../format/source.ts';
import type { Output } from '../../model/model.ts';
import { modelName } from '../../model/model-id.ts';
import { normSpec } from '../../norm/registry.ts';
import type { NormId } from '../../norm/registry.ts';
import { downloadBytes, mayNotFit } from '../../store/models.ts';
import type { Opening } from '../../store/models.ts';
import { normColor } from '../colors.ts';
import { bytes, count, seconds } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';

const DOES: Record<Output, string> = {
  next: 'predicts the next token',
  masked: 'fills in masked tokens',
  embedding: 'gives an embedding',
  classes: 'names what a picture shows',
};

/** A model on its way in: what it is, what it needs, and how far it is. */
export function OpeningCard({ opening }: { readonly opening: Opening }) {
  const { session } = useWires();
  const { stage, words, survey, progress } = opening;
  const most = useExperiment((state) => state.run.environment?.limits['maxBufferSize']);
  const isTight = useExperiment((state) => survey !== null && mayNotFit(survey, state));
  const missing = survey ? downloadBytes(survey) : 0;
  return (
    <section className="model-card" aria-label="The model">
      <h3>
        {survey ? modelName(`hub:${survey.label}`).replace(/^hub:/, '') : words}
        {survey && (
          <small className="soft">
            {' '}
            <code>{survey.family}</code>, {DOES[survey.output]}
          </small>
        )}
      </h3>
      {survey && <Facts survey={survey} />}
      {isTight && most !== undefined && (
        <p className="notice">
          <b>It may not fit.</b> It needs about {bytes(survey?.estimate.totalBytes ?? 0)} on the GPU. A
          browser does not tell how much there is; one buffer may hold {bytes(most)} here, and a model over
          that often fails.
        </p>
      )}
      {stage === 'looking' && (
        <p role="status">
          Reading its configuration and headers… <progress aria-label="Looking" />
        </p>
      )}
      {stage === 'fetching' && <Fetching progress={progress} />}
      <div className="buttons">
        {stage === 'asking' && (
          <button type="button" className="primary" onClick={() => void session.fetchModel()}>
            {missing > 0 ? `Download ${bytes(missing)} and open` : 'Open'}
          </button>
        )}
        <button type="button" onClick={session.stopOpening}>
          {stage === 'asking' ? 'Not this one' : 'Stop'}
        </button>
      </div>
    </section>
  );
}

/** How many sites each member has, the member of most first. */
function members({ sites }: Survey): (readonly [NormId, number])[] {
  const counts = new Map<NormId, number>();
  for (const { norm } of sites) counts.set(norm, (counts.get(norm) ?? 0) + 1);
  return [...counts].toSorted(([, a], [, b]) => b - a);
}

function Facts({ survey }: { readonly survey: Survey }) {
  const isDark = useIsDark();
  const { dims, dtypes, estimate, fileBytes, keptBytes, context, vocabSize, image, hasTokenizer } = survey;
  return (
    <dl className="facts">
      <div>
        <dt>Parameters</dt>
        <dd>
          {count(survey.parameterCount)}{' '}
          <small>{dtypes.map((dtype) => dtype.toLowerCase()).join(' + ')}</small>
        </dd>
      </div>
      <div>
        <dt>{survey.label.includes('/') ? 'Download' : 'Files'}</dt>
        <dd>
          {bytes(fileBytes)} {keptBytes > 0 && <small>{bytes(keptBytes)} of it here already</small>}
        </dd>
      </div>
      <div>
        <dt>GPU memory, about</dt>
        <dd
          title={`Weights ${bytes(estimate.weightsBytes)}, activations ${bytes(estimate.activationsBytes)}, keys and values ${bytes(estimate.cacheBytes)}`}
        >
          {bytes(estimate.totalBytes)} <small>{bytes(estimate.weightsBytes)} weights</small>
        </dd>
      </div>
      <div>
        <dt>Norm sites</dt>
        <dd>
          {members(survey).map(([norm, sites]) => (
            <span key={norm} style={{ '--member': normColor(norm, isDark) } as CSSProperties}>
              {sites} <i className="dot" aria-hidden /> <small>{normSpec(norm).label}</small>{' '}
            </span>
          ))}
        </dd>
      </div>
      <div>
        <dt>Layers × width</dt>
        <dd>
          {dims.L} × {dims.C}{' '}
          <small>
            {dims.H} heads{dims.G === dims.H ? '' : `, ${dims.G} for keys`}
          </small>
        </dd>
      </div>
      <div>
        <dt>{image ? 'Picture' : 'Context here'}</dt>
        <dd>
          {image ? `${image.image[1]} × ${image.image[0]}` : context.toLocaleString('en')}{' '}
          <small>
            {image
              ? `in patches of ${image.patch[1]} × ${image.patch[0]}`
              : `tokens of ${vocabSize.toLocaleString('en')}${hasTokenizer ? '' : ', no tokenizer: write ids'}`}
          </small>
        </dd>
      </div>
    </dl>
  );
}

function Fetching({ progress }: { readonly progress: Progress | null }) {
  const { loadedBytes = 0, totalBytes = 0, bytesPerSecond = null } = progress ?? {};
  const left = bytesPerSecond ? (totalBytes - loadedBytes) / bytesPerSecond : null;
  return (
    <div className="fetching">
      <progress value={loadedBytes} max={totalBytes || 1} aria-label="Opening" />
      <p role="status">
        {progress ? (
          <>
            <b>{bytes(loadedBytes)}</b> of {bytes(totalBytes)}
          </>
        ) : (
          'Preparing…'
        )}
        <span aria-hidden>
          {bytesPerSecond !== null && ` · ${bytes(bytesPerSecond)}/s`}
          {left !== null && left >= 1 && ` · ${seconds(left)} left`}
        </span>
      </p>
      {progress && (
        <p className="soft" aria-hidden>
          <code>{progress.path}</code> {bytes(progress.fileLoadedBytes)} of {bytes(progress.fileTotalBytes)}
        </p>
      )}
    </div>
  );
}
