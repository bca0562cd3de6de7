// Files that somebody drops on the page or chooses: each finds its section, and each that cannot be opened says why.
import { Problem, problemData } from '../problem.ts';
import { readReceipt } from '../receipt/read.ts';
import type { RunReceipt } from '../receipt/schema.ts';
import { setBench, withReport } from './bench.ts';
import { setFit, setFitDraft, specOfReport, withFit } from './fit.ts';
import { recordedConfig, recordedPin } from './recorded.ts';
import { setConfig, setRun, setView } from './store.ts';
import type { Experiment } from './store.ts';

/** A fit takes some dozens of windows. */
const MOST_TEXT_BYTES = 2 ** 20;

/** `run` runs the config; `openOnnx` opens an ONNX file with its data. */
export function fileOpener(
  store: Experiment,
  run: () => Promise<void>,
  openOnnx: (files: readonly File[]) => Promise<void>,
): (files: readonly File[]) => Promise<void> {
  /** A run out of a file, as it was, as A; the same configuration runs anew as B. */
  async function showRecorded(receipt: RunReceipt): Promise<void> {
    setConfig(store, recordedConfig(receipt));
    setRun(store, { pinned: recordedPin(receipt), parting: null });
    setView(store, { section: 'microscope' });
    await run();
  }

  /** Text to fit on. */
  async function takeText(file: File): Promise<void> {
    if (file.size > MOST_TEXT_BYTES)
      throw new Problem(
        'bad-file',
        `Cannot take "${file.name}" as text to fit on: it has ${file.size} bytes, and ${MOST_TEXT_BYTES} are enough`,
        'Take a part of it.',
      );
    setFitDraft(store, { text: 'own', own: await file.text(), ownName: file.name });
    setView(store, { section: 'fit' });
  }

  return async (files) => {
    if (files.some(({ name }) => /\.onnx$/i.test(name))) return openOnnx(files);
    for (const file of files) {
      try {
        if (/\.txt$/i.test(file.name)) {
          await takeText(file);
          continue;
        }
        const opened = readReceipt(await file.text(), file.name);
        if (opened.kind === 'run') {
          await showRecorded(opened.receipt);
          continue;
        }
        if (opened.kind === 'fit') {
          const { report } = opened;
          const spec = specOfReport(report);
          const added = { key: file.name, name: file.name, origin: 'file' as const, spec, report };
          setFit(store, withFit(store.getState().fit, added));
          setView(store, { section: 'fit' });
          continue;
        }
        const { report, notes } = opened;
        const { kept } = store.getState().bench;
        const added = { key: report.session.id, name: file.name, origin: 'file' as const, notes, report };
        setBench(store, { kept: withReport(kept, added) });
        setView(store, { section: 'bench' });
      } catch (thrown) {
        setRun(store, { problem: problemData(thrown) });
      }
    }
  };
}
