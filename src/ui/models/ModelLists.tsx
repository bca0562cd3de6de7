import type { KeptFile } from '../../format/cache.ts';
import { modelName } from '../../model/model-id.ts';
import { chooseModel } from '../../store/choose-model.ts';
import { bytes } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';

/** Models that were opened and take memory now. */
export function OpenModels() {
  const { store, session } = useWires();
  const brought = useExperiment((state) => state.models.brought);
  const model = useExperiment((state) => state.config.model);
  if (brought.length === 0) return null;
  return (
    <section className="model-list" aria-label="Open now">
      <h3>Open now</h3>
      <ul>
        {brought.map(({ info: { id }, survey }) => (
          <li key={id}>
            <span className="name">{modelName(id)}</span>
            <span className="soft">{bytes(survey.estimate.weightsBytes)} of weights on the GPU</span>
            <button
              type="button"
              disabled={id === model}
              aria-label={`Use ${modelName(id)}`}
              onClick={() => {
                chooseModel(store, id);
                session.hideModels();
              }}
            >
              {id === model ? 'In use' : 'Use'}
            </button>
            <button
              type="button"
              aria-label={`Close ${modelName(id)}`}
              onClick={() => void session.closeModel(id)}
            >
              Close
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

type KeptModel = {
  readonly label: string;
  readonly ids: readonly string[];
  readonly sizeBytes: number;
  readonly keptBytes: number;
};

/** Files by the model and the commit that they are of; what holds no byte is only a note of one that was looked at. */
function keptModels(files: readonly KeptFile[]): KeptModel[] {
  const models = new Map<string, KeptModel>();
  for (const { id, label, path, tag, sizeBytes, keptBytes } of files) {
    const known = models.get(`${label} ${tag}`) ?? { label, ids: [], sizeBytes: 0, keptBytes: 0 };
    models.set(`${label} ${tag}`, {
      label,
      ids: [...known.ids, id],
      sizeBytes: known.sizeBytes + (path.endsWith('.safetensors') ? sizeBytes : 0),
      keptBytes: known.keptBytes + keptBytes,
    });
  }
  return [...models.values()].filter(({ keptBytes }) => keptBytes > 0);
}

/** Downloads that this browser keeps, whole or not. */
export function KeptModels() {
  const { session } = useWires();
  const kept = useExperiment((state) => state.models.kept);
  const isBusy = useExperiment((state) => state.models.opening !== null);
  const models = keptModels(kept?.files ?? []);
  if (!kept || models.length === 0) return null;
  const total = models.reduce((sum, { keptBytes }) => sum + keptBytes, 0);
  return (
    <section className="model-list" aria-label="Kept on this machine">
      <h3>
        Kept on this machine{' '}
        <small className="soft">
          {bytes(total)}
          {kept.room && `; this page may use ${bytes(kept.room.quotaBytes)}`}
        </small>
      </h3>
      <ul>
        {models.map(({ label, ids, sizeBytes, keptBytes }) => {
          const isWhole = keptBytes >= sizeBytes;
          const name = modelName(`hub:${label}`);
          return (
            <li key={ids[0]}>
              <span className="name">{name}</span>
              <span className="soft">
                {isWhole ? bytes(keptBytes) : `${bytes(keptBytes)} of ${bytes(sizeBytes)}`}
              </span>
              <button
                type="button"
                disabled={isBusy}
                aria-label={`${isWhole ? 'Open' : 'Go on with'} ${name}`}
                onClick={() => void session.openModel({ hub: label })}
              >
                {isWhole ? 'Open' : 'Go on'}
              </button>
              <button
                type="button"
                disabled={isBusy}
                aria-label={`Delete ${name}`}
                onClick={() => void session.deleteKept(ids)}
              >
                Delete
              </button>
            </li>
          );
        })}
      </ul>
      <button
        type="button"
        className="quiet"
        disabled={isBusy}
        onClick={() => void session.deleteKept(kept.files.map(({ id }) => id))}
      >
        Delete all
      </button>
    </section>
  );
}
