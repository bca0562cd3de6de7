// A folder with a card, as the twins come and converted models are saved: the card says which of its files is which.
import { parseStrictJson } from '../format/json.ts';
import { sha256 } from '../format/fetch.ts';
import type { FileRef } from '../format/fetch.ts';
import { droppedFiles, readSmall } from '../format/source.ts';
import type { Source } from '../format/source.ts';
import {
  CARD,
  CONFIG,
  firstTwin,
  MODEL_SCHEMA,
  parseModelInfo,
  TOKENIZER,
  WEIGHTS,
} from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
import { CONFIG_LIMIT_BYTES } from '../model/hf.ts';
import { Problem } from '../problem.ts';
import type { OpenWhat } from './api.ts';

const SAVE_AGAIN = 'The folder is damaged or was changed by hand: save the model again.';
const WINDOWS_LIMIT_BYTES = 2 ** 24;

export type CardedSource = {
  readonly source: Source;
  /** What its card says, with the texts that are there; null for a folder without one. */
  readonly card: Pick<ModelInfo, 'license' | 'description' | 'calibration' | 'heldOut'> | null;
};
type Files = Extract<OpenWhat, { readonly files: unknown }>['files'];

const depth = (path: string): number => path.split('/').length;
const isNamed = (path: string, name: string): boolean => path === name || path.endsWith(`/${name}`);

/** The card of ours in these bytes; null for a file of the same name that is another's. */
async function readCard({ path, file }: Files[number]): Promise<ModelInfo | null> {
  if (file.size > CONFIG_LIMIT_BYTES) return null;
  const text = await file.text();
  let value: unknown;
  try {
    value = parseStrictJson(new TextEncoder().encode(text), { maxBytes: CONFIG_LIMIT_BYTES });
  } catch {
    return null;
  }
  const isOurs =
    typeof value === 'object' && value !== null && 'schema' in value && value.schema === MODEL_SCHEMA;
  if (!isOurs) return null;
  try {
    return parseModelInfo(path, text);
  } catch (cause) {
    throw new Problem('bad-file', cause instanceof Error ? cause.message : String(cause), SAVE_AGAIN);
  }
}

/**
 * Files that somebody dropped or chose as a checkpoint: the card's first twin where they have one, with the tokenizer and
 * the texts of all twins, else the shallowest configuration and what lies beside it. Throws Problem `bad-file`.
 */
export async function checkpointFiles(files: Files): Promise<CardedSource> {
  const shallowest = (name: string): Files[number] | undefined =>
    files.filter(({ path }) => isNamed(path, name)).toSorted((a, b) => depth(a.path) - depth(b.path))[0];
  const [cardFile, config] = [shallowest(CARD), shallowest(CONFIG)];
  const isAbove = cardFile && (!config || depth(cardFile.path) < depth(config.path));
  const info = isAbove ? await readCard(cardFile) : null;
  if (!cardFile || !info) return { source: droppedFiles(files), card: null };
  const twin = info.twins[firstTwin(info)];
  if (!twin) throw new Problem('bad-file', `Cannot open "${cardFile.path}": it names no weights`, SAVE_AGAIN);
  const root = cardFile.path.slice(0, -CARD.length);
  const find = (path: string): Files[number] | undefined => files.find((one) => one.path === root + path);
  const { license, description } = info;
  const texts = (['calibration', 'heldOut'] as const).flatMap((use) => {
    const text = info[use];
    return text && find(text.path) ? [[use, text] as const] : [];
  });
  const named = [
    [CONFIG, twin.config],
    [WEIGHTS, twin.weights.path],
    [TOKENIZER, info.tokenizer.path],
    ...texts.map(([, { path }]) => [path, path] as const),
  ] as const;
  const source = droppedFiles(
    named.flatMap(([name, path]) => {
      const found = find(path);
      return found ? [{ path: root + name, file: found.file }] : [];
    }),
  );
  return { source, card: { license, description, ...Object.fromEntries(texts) } };
}

/** Reads a file that a card names, whole. Throws Problem `bad-file` where it is another than the card says. */
export const cardFileReader =
  (source: Source) =>
  async ({ path, sha256: digest }: FileRef): Promise<Uint8Array> => {
    const bytes = await readSmall(source, path, WINDOWS_LIMIT_BYTES);
    if (sha256(bytes) === digest) return bytes;
    throw new Problem(
      'bad-file',
      `Cannot use "${path}" of ${source.label}: it is another file than the one the folder’s ${CARD} describes`,
      'Save the folder again, or open it without this file.',
    );
  };
