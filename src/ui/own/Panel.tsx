// A member's WGSL in an editor, and beside it what the compiler, float64 and the clock say of it.
import { useEffect, useRef } from 'react';
import { isNormId, NORM_IDS, normSpec } from '../../norm/registry.ts';
import { editedNorm, isOriginal, openEditor, resetOwn, sameOwn, setOwn, typeOwn } from '../../store/own.ts';
import type { State } from '../../store/store.ts';
import { FileButton } from '../controls/FileButton.tsx';
import { download } from '../exports.ts';
import { useExperiment, useWires } from '../hooks.ts';
import { mountEditor } from './editor.ts';
import type { Editor } from './editor.ts';
import { Verdict } from './Verdict.tsx';
import './own.css';

const OVER_WORDS = {
  element: 'each value alone',
  token: 'the channels of its token',
  channel: 'its channel over the tokens',
} as const;

const isEdited = (state: State): boolean => !isOriginal(editedNorm(state));
const isRunning = (state: State): boolean => sameOwn(state.run.result?.plan.own, editedNorm(state));

export default function Panel() {
  const { store, session } = useWires();
  const norm = useExperiment((state) => state.own.norm);
  const text = useExperiment((state) => editedNorm(state).source);
  const checked = useExperiment((state) => state.own.checked);
  const isChanged = useExperiment(isEdited);
  const isOn = useExperiment(isRunning);
  const isBusy = useExperiment(({ run }) => run.phase === 'checking');
  const canRun = useExperiment(({ run }) => run.loaded !== null);
  const frame = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor | null>(null);
  const { label, over } = normSpec(norm);

  useEffect(() => {
    if (!frame.current) return undefined;
    const mounted = mountEditor(frame.current, {
      text: editedNorm(store.getState()).source,
      label: 'WGSL of your own norm',
      onChange: (typed) => typeOwn(store, typed),
      onRun: () => void session.runOwn(),
    });
    editor.current = mounted;
    frame.current.scrollIntoView({ block: 'nearest' });
    return () => mounted.destroy();
  }, [store, session]);
  useEffect(() => {
    editor.current?.setText(text);
  }, [text]);
  useEffect(() => {
    const marked = checked?.of.norm === norm ? checked.check.complaints : [];
    editor.current?.mark(marked.filter(({ isOwn }) => isOwn));
  }, [checked, norm]);

  return (
    <section className="own-norm" aria-label="Your own norm">
      <header>
        <h2>
          Your own
          <select
            aria-label="Norm to start from"
            value={norm}
            onChange={({ target: { value } }) => isNormId(value) && openEditor(store, value)}
          >
            {NORM_IDS.map((id) => (
              <option key={id} value={id}>
                {normSpec(id).label}
              </option>
            ))}
          </select>
          <small>
            {isOn ? 'the model runs with it' : isChanged ? 'changed, not run yet' : 'as it comes'} · it looks
            at {OVER_WORDS[over]} · stays in this tab
          </small>
        </h2>
        <button
          type="button"
          className="quiet"
          aria-label="Close the editor"
          onClick={() => setOwn(store, { isOpen: false })}
        >
          ✕
        </button>
      </header>
      <div className="own-code">
        <div className="own-editor" ref={frame} />
        <div className="own-buttons">
          <button
            type="button"
            className={`primary ${isChanged && !isOn ? 'wanted' : ''}`}
            disabled={!canRun}
            title="Compile it, compare it, and run the model with it (Ctrl or ⌘ with Enter in the editor)"
            onClick={() => void session.runOwn()}
          >
            Run {isChanged ? 'yours' : label}
          </button>
          <button
            type="button"
            disabled={!canRun}
            title="Compile it in every kernel of the run, and compare it with float64, without running the model"
            onClick={() => void session.checkOwn()}
          >
            Check
          </button>
          {isBusy && (
            <button type="button" onClick={session.stop}>
              Stop
            </button>
          )}
          <span className="own-spring" />
          <button
            type="button"
            disabled={!isChanged}
            title={`${label}’s own text again`}
            onClick={() => resetOwn(store)}
          >
            Reset
          </button>
          <FileButton
            words="Open"
            label="Open a .wgsl file"
            title="A file of one norm; dropping it on the page does the same"
            accept=".wgsl"
            onFiles={(files) => void session.openFiles(files)}
          />
          <button
            type="button"
            onClick={() =>
              download(
                `${norm}${isChanged ? '-own' : ''}.wgsl`,
                'text/plain',
                editedNorm(store.getState()).source,
              )
            }
          >
            Export .wgsl
          </button>
        </div>
      </div>
      <Verdict onGo={(complaint) => editor.current?.goTo(complaint)} />
    </section>
  );
}
