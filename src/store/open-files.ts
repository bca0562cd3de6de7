// Files that somebody dropped or chose: what they are decides where they go.
import { Problem, problemData } from '../problem.ts';
import { readReceipt } from '../receipt/read.ts';
import type { RunReceipt } from '../receipt/schema.ts';
import { setBench, withReport } from './bench.ts';
import type { ModelsSession } from './models-session.ts';
import type { OnnxSession } from './onnx-session.ts';
import { recordedConfig, recordedPin } from './recorded.ts';
import { setConfig, setRun, setView } from './store.ts';
import type { Experiment } from './store.ts';

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
  readonly run: () => Promise<void>;
};

export function createOpener(store: Experiment, { onnx, models, run }: Sessions) {
  /** A run out of a file, as it was, as A; the same configuration runs anew as B. */
  async function showRecorded(receipt: RunReceipt): Promise<void> {
    setConfig(store, recordedConfig(receipt));
    setRun(store, { pinned: recordedPin(receipt), parting: null });
    setView(store, { section: 'microscope' });
    await run();
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
        const opened = readReceipt(await file.text(), file.name);
        if (opened.kind === 'run') {
          await showRecorded(opened.receipt);
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
