import { useState } from 'react';
import { exportOnnx, exportRun } from '../exports.ts';
import { useExperiment, useWires } from '../hooks.ts';
import { Menu } from './Menu.tsx';

/** The run that is shown as a file, and the model with the norms that are chosen now for any other runtime. */
export function ExportMenu() {
  const { store, session } = useWires();
  const hasRun = useExperiment((state) => state.run.result !== null);
  const isLoaded = useExperiment((state) => state.run.loaded !== null);
  const [isHalf, setHalf] = useState(false);
  const [isFolded, setFolded] = useState(false);
  const [hasPast, setPast] = useState(false);
  const options = [
    ['f16 weights', 'Half the size; arithmetic stays f32', isHalf, setHalf],
    ['fold γ, β into the next layer', 'Exact algebra, fewer nodes', isFolded, setFolded],
    ['past keys and values', 'For decoding a token at a time', hasPast, setPast],
  ] as const;
  return (
    <Menu label="Export" sign="Export ▾" title="Take this run, or the model with these norms, along">
      <h3>This run</h3>
      <button type="button" disabled={!hasRun} onClick={() => exportRun(store.getState(), 'json')}>
        Export JSON
      </button>
      <button type="button" disabled={!hasRun} onClick={() => exportRun(store.getState(), 'csv')}>
        Export CSV
      </button>
      <h3>This model, with these norms</h3>
      {options.map(([label, about, value, set]) => (
        <label key={label} title={about}>
          <span>{label}</span>
          <input type="checkbox" checked={value} onChange={(event) => set(event.target.checked)} />
        </label>
      ))}
      <button
        type="button"
        className="primary"
        disabled={!isLoaded}
        onClick={() =>
          void exportOnnx(session, store.getState(), { weights: isHalf ? 'f16' : 'f32', isFolded, hasPast })
        }
      >
        Export ONNX
      </button>
      <p className="soft">Opset 23, dynamic sequence length. Opens in Netron, runs in onnxruntime.</p>
    </Menu>
  );
}
