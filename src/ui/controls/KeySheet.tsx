import { useEffect, useRef } from 'react';
import { setView } from '../../store/store.ts';
import { useExperiment, useWires } from '../hooks.ts';
import { KEYS } from '../keys.ts';

const SIGNS: Record<string, string> = {
  ArrowRight: '→',
  ArrowLeft: '←',
  ArrowUp: '↑',
  ArrowDown: '↓',
  Escape: 'Esc',
};

/** What every key does; opened with `?`. */
export function KeySheet() {
  const { store } = useWires();
  const isOpen = useExperiment((state) => state.view.isSheetOpen);
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isOpen]);
  return (
    <dialog
      ref={dialog}
      className="key-sheet"
      aria-label="Keyboard"
      onClose={() => setView(store, { isSheetOpen: false })}
      onClick={(event) => event.target === dialog.current && setView(store, { isSheetOpen: false })}
    >
      <h2>Keyboard</h2>
      <dl>
        {KEYS.map(({ key, does }) => (
          <div key={key}>
            <dt>
              <kbd>{SIGNS[key] ?? key}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <button type="button" onClick={() => setView(store, { isSheetOpen: false })}>
        Close
      </button>
    </dialog>
  );
}
