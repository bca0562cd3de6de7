// Files that somebody dropped or chose: what they are decides where they go.
import { Problem, problemData } from '../problem.ts';
import { readReceipt } from '../receipt/read.ts';
import type { RunReceipt } from '../receipt/schema.ts';
import { setBench, withReport } from './bench.ts';
import { setFit, setFitDraft, specOfReport, withFit } from './fit.ts';
import type { ModelsSession } from './models-session.ts';
import type { OnnxSession } from './onnx-session.ts';
import type { OwnSession } from './own-session.ts';
import { recordedConfig, recordedPin } from './recorded.ts';
import { setConfig, setRun, setView } from './store.ts';
import type { Experiment } from './store.ts';

/** A fit takes some dozens of windows. */
const MOST_TEXT_BYTES = 2 ** 20;

/** `path` from the folder that was dropped; a file's name where there was none. */
export type DroppedFile = { readonly path: string; readonly file: File };

const hasEnding = (files: readonly DroppedFile[], ending: RegExp): boolean =>
  files.some(({ path }) => ending.test(path));

/** A folder of the transformers library is known by its configuration or its weights; it may hold an ONNX copy too. */
const isCheckpoint = (files: readonly DroppedFile[]): boolean =>
  hasEnding(files, /\.safetensors$/i) ||
  (hasEnding(files, /(^|\/)config\.json$/) && !hasEnding(files, /\.onnx$/i));

type Sessions = {
  readonly onnx: Pick<OnnxSession, 'openOnnx'>;
  readonly models: Pick<ModelsSession, 'openModel'>;
  readonly own: Pick<OwnSession, 'openOwn'>;
  readonly run: () => Promise<void>;
};

export function createOpener(store: Experiment, { onnx, models, own, run }: Sessions) {
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

  return async (files: readonly DroppedFile[]): Promise<void> => {
    if (isCheckpoint(files)) return models.openModel({ files });
    if (hasEnding(files, /\.onnx$/i)) return onnx.openOnnx(files.map(({ file }) => file));
    if (files.length === 0) {
      const hint = 'Drop a model’s folder, an .onnx file, or files that Normscope saved.';
      const problem = new Problem('usage', 'Cannot open what was dropped: there is no file in it', hint);
      return setRun(store, { problem: problemData(problem) });
    }
    for (const { file } of files) {
      try {
        if (/\.wgsl$/i.test(file.name)) {
          await own.openOwn(file);
          continue;
        }
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
