// Mounts the page and wires the store to an engine in a worker: the only file that knows both.
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { RemoteEngine } from './engine/remote.ts';
import EngineWorker from './engine/worker.ts?worker';
import { problemData } from './problem.ts';
import { showRecordings } from './store/first-screen.ts';
import { applyLink, linkOf, readLink, tellOfLink } from './store/link.ts';
import { createSession } from './store/session.ts';
import { createExperiment, setRun, setView, THEMES } from './store/store.ts';
import { App } from './ui/App.tsx';
import { Wiring } from './ui/hooks.ts';
import './ui/styles.css';

const worker = new EngineWorker({ name: new URL('models/', document.baseURI).href });
const engine = new RemoteEngine(worker);
worker.addEventListener('error', (event) => engine.fail(event.message || 'it could not be started'));

const store = createExperiment();
const session = createSession(store, engine);
window.addEventListener('unhandledrejection', ({ reason }) =>
  setRun(store, { problem: problemData(reason) }),
);

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Wiring value={{ store, session }}>
        <App />
      </Wiring>
    </StrictMode>,
  );
}
const THEME_KEY = 'normscope.theme';
const saved = THEMES.find((theme) => theme === localStorage.getItem(THEME_KEY));
if (saved) setView(store, { theme: saved });
store.subscribe(({ view }, before) => {
  if (view.theme !== before.view.theme) localStorage.setItem(THEME_KEY, view.theme);
});

const link = readLink(location.hash);
applyLink(store, link);
tellOfLink(store, link);
let lastLink = location.hash.slice(1);
/** What will be written into the address; null where nothing waits. */
let waiting: string | null = null;
let writing: ReturnType<typeof setTimeout> | undefined;
/** The address follows the experiment; typing a prompt does not write it at every key, nor does a run put it off. */
store.subscribe((state) => {
  const next = linkOf(state);
  if (next === (waiting ?? lastLink)) return;
  waiting = next;
  clearTimeout(writing);
  writing = setTimeout(() => {
    waiting = null;
    if (next === lastLink) return;
    lastLink = next;
    history.replaceState(null, '', next ? `#${next}` : location.pathname + location.search);
  }, 250);
});
window.addEventListener('hashchange', () => {
  const changed = readLink(location.hash);
  lastLink = location.hash.slice(1);
  applyLink(store, changed);
  tellOfLink(store, changed);
  void session.run();
});

void showRecordings(store, new URL('recorded/', document.baseURI).href);
void session.start();
