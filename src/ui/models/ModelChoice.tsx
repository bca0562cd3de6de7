import { MODEL_IDS } from '../../model/catalog.ts';
import { isBrought, modelName } from '../../model/model-id.ts';
import { chooseModel } from '../../store/choose-model.ts';
import { bytes, count, percent } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';

/** The models at hand, and the way to others. */
export function ModelChoice() {
  const { store, session } = useWires();
  const info = useExperiment((state) => state.run.info);
  const model = useExperiment((state) => state.config.model);
  const brought = useExperiment((state) => state.models.brought);
  const twin = info && info.id === model ? Object.values(info.twins)[0] : undefined;
  const about = (id: string): string =>
    info && twin && id === model
      ? `${isBrought(id) ? modelName(id) : info.name} · ${count(info.parameterCount)} · ${bytes(twin.weights.sizeBytes)}`
      : modelName(id);
  const opening = useExperiment((state) => state.models.opening);
  const { loadedBytes = 0, totalBytes = 1 } = opening?.progress ?? {};
  const share = opening?.stage === 'fetching' ? loadedBytes / totalBytes : null;
  const ids = [...MODEL_IDS, ...brought.map((one) => one.info.id)];
  return (
    <span className="model-choice">
      <select
        aria-label="Model"
        value={model}
        title={info?.description}
        onChange={(event) => chooseModel(store, event.target.value)}
      >
        {[...new Set([...ids, model])].map((id) => (
          <option key={id} value={id}>
            {about(id)}
          </option>
        ))}
      </select>
      <button
        type="button"
        title="Your own transformer: a folder of this machine, or a model of the Hugging Face Hub"
        onClick={session.showModels}
      >
        {share === null ? 'Open…' : `Opening ${percent(share)}`}
      </button>
    </span>
  );
}
