import { useEffect, useId, useRef } from 'react';
import { GPT } from '../../model/families/gpt.ts';
import { FAMILIES } from '../../model/hf.ts';
import { placeOf } from '../../model/model-id.ts';
import { isAtHand, setModels } from '../../store/models.ts';
import type { State } from '../../store/store.ts';
import { FileButton } from '../controls/FileButton.tsx';
import { useExperiment, useWires } from '../hooks.ts';
import { KeptModels, OpenModels } from './ModelLists.tsx';
import { OpeningCard } from './OpeningCard.tsx';
import './models.css';

/** Ways to a model of one's own: a folder, files, the Hub; what came is listed below. */
export function ModelSheet() {
  const { session } = useWires();
  const isOpen = useExperiment((state) => state.models.isSheetOpen);
  const opening = useExperiment((state) => state.models.opening);
  const problem = useExperiment((state) => state.models.problem);
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isOpen && !dialog.current?.open) dialog.current?.showModal();
    if (!isOpen) dialog.current?.close();
  }, [isOpen]);
  return (
    <dialog
      ref={dialog}
      className="model-sheet"
      aria-label="Open a model"
      onClose={() => isOpen && session.hideModels()}
      onClick={(event) => event.target === dialog.current && session.hideModels()}
    >
      <div className="model-sheet-body">
        <header>
          <h2>Open a model</h2>
          <button type="button" className="quiet" aria-label="Close" onClick={session.hideModels}>
            ✕
          </button>
        </header>
        {problem && (
          <div className="problem" role="alert">
            <div>
              <strong>{problem.message}.</strong> <span>{problem.hint}</span>
            </div>
          </div>
        )}
        {opening ? <OpeningCard opening={opening} /> : <Ways />}
        <OpenModels />
        <KeptModels />
      </div>
    </dialog>
  );
}

/** The name in a link of a model whose files are somewhere else. */
function awaitedName(state: State): string | null {
  const { model } = state.config;
  const place = isAtHand(state, model) ? undefined : placeOf(model);
  return place?.kind === 'disk' ? place.name : null;
}

function Ways() {
  const { session } = useWires();
  const awaited = useExperiment(awaitedName);
  const types = FAMILIES.filter((family) => family !== GPT).flatMap(({ modelTypes }) => modelTypes);
  return (
    <>
      {awaited !== null && (
        <p className="notice">
          <b>This link needs the files of “{awaited}”.</b> They were opened from somebody’s disk and are not
          in the link. Choose the same files, and it runs as it did there.
        </p>
      )}
      <div className="ways">
        <section aria-label="From this machine">
          <h3>From this machine</h3>
          <p>Drop a model’s folder anywhere on the page, or</p>
          <div className="buttons">
            <FileButton
              words="Choose folder"
              isFolder
              onFiles={(files) => void session.openModel({ files })}
            />
            <FileButton
              words="Choose files"
              isMultiple
              onFiles={(files) => void session.openModel({ files })}
            />
          </div>
          <p className="soft">
            config.json, *.safetensors and, for text, tokenizer.json. Nothing leaves this machine.
          </p>
        </section>
        <HubForm />
      </div>
      <p className="soft">
        Checkpoints of the transformers library in f32, f16 or bf16, sharded or not: {types.join(', ')}. And
        what Swap &amp; fit saved.
      </p>
    </>
  );
}

function HubForm() {
  const { store, session } = useWires();
  const address = useExperiment((state) => state.models.address);
  const id = useId();
  return (
    <section aria-label="From the Hugging Face Hub">
      <h3>From the Hugging Face Hub</h3>
      <label htmlFor={id}>Address of a model</label>
      <form
        className="buttons"
        onSubmit={(event) => {
          event.preventDefault();
          void session.openModel({ hub: address });
        }}
      >
        <input
          id={id}
          type="text"
          value={address}
          placeholder="owner/name@revision"
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
          onChange={(event) => setModels(store, { address: event.target.value })}
        />
        <button type="submit" disabled={address.trim() === ''}>
          Look
        </button>
      </form>
      <p className="soft">
        Straight to this browser. You see what it is, and are asked, before anything large is fetched.
      </p>
    </section>
  );
}
