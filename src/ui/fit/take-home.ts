// A fit as files and on the clipboard.
import { torchSnippet } from '../../fit/convert.ts';
import type { ConvertedFile } from '../../fit/convert.ts';
import type { FitReport } from '../../fit/spec.ts';
import { isAbort, Problem } from '../../problem.ts';
import { fitJson, fitMarkdown } from '../../receipt/fit.ts';
import type { Session } from '../../store/session.ts';
import { download } from '../exports.ts';

const nameOf = ({ weights, method, startedAt }: FitReport): string =>
  `normscope-fit-${weights.replaceAll(/[^\w-]+/g, '-')}-${method}-${startedAt.replaceAll(/[:.]/g, '')}`;

export const saveJson = (report: FitReport): void =>
  download(`${nameOf(report)}.json`, 'application/json', fitJson(report));
export const saveMarkdown = (report: FitReport, snippet: string | null): void =>
  download(`${nameOf(report)}.md`, 'text/markdown', fitMarkdown(report, snippet ?? undefined));
export const copy = (text: string): Promise<void> => navigator.clipboard.writeText(text);

export async function saveOnnx(session: Session, report: FitReport): Promise<void> {
  const file = await session.exportFitOnnx(report.plan);
  if (file) download(`${nameOf(report)}.onnx`, 'application/octet-stream', file);
}

/** What loads the norms in PyTorch; null where no module can say the plan. */
export function snippetOf({ plan, eps = 1e-5 }: FitReport): string | null {
  try {
    return torchSnippet(plan, 'model.safetensors', eps);
  } catch (thrown) {
    if (thrown instanceof Problem) return null;
    throw thrown;
  }
}

type Picker = (options: { readonly mode: 'readwrite' }) => Promise<FileSystemDirectoryHandle>;
const picker = (): Picker | undefined =>
  (window as Window & { readonly showDirectoryPicker?: Picker }).showDirectoryPicker?.bind(window);

/** Whether this browser writes whole folders. */
export const canWriteFolders = (): boolean => picker() !== undefined;

async function write(
  folder: FileSystemDirectoryHandle,
  { path, bytes }: ConvertedFile<Uint8Array | Blob>,
): Promise<void> {
  const parts = path.split('/');
  let at = folder;
  for (const part of parts.slice(0, -1)) at = await at.getDirectoryHandle(part, { create: true });
  const file = await at.getFileHandle(parts.at(-1) ?? path, { create: true });
  const stream = await file.createWritable();
  await stream.write(bytes instanceof Blob ? bytes : new Uint8Array(bytes));
  await stream.close();
}

/** Writes the converted model's folder where somebody says; without such a browser, its own files one by one. */
export async function saveModel(session: Session, report: FitReport): Promise<void> {
  const pick = picker();
  let folder: FileSystemDirectoryHandle | undefined;
  try {
    folder = await pick?.({ mode: 'readwrite' });
  } catch (thrown) {
    if (isAbort(thrown)) return; // nothing was chosen
    throw thrown;
  }
  const files = await session.convertFit(report);
  if (!files) return;
  if (folder) {
    for (const file of files) await write(folder, file);
    return;
  }
  // Without their folders they are a checkpoint as any other; description and texts are the first model's own.
  for (const { path, bytes } of files.filter((file) =>
    /safetensors$|(config|tokenizer)\.json$|\.py$/.test(file.path),
  ))
    download(path.split('/').at(-1) ?? path, 'application/octet-stream', bytes);
}
