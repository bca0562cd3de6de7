// Which model a command means: a twin that Normscope brings along, or a folder with the files of one; for all but the
// bench also a folder of the transformers library.
import { existsSync, readdirSync } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Library } from '../engine/library.ts';
import { openInto } from '../engine/opened.ts';
import type { Get } from '../format/fetch.ts';
import { folder } from '../format/source.ts';
import type { Source } from '../format/source.ts';
import {
  CARD,
  CONFIG,
  firstTwin,
  MODEL_SCHEMA,
  parseModelInfo,
  trainedNorms,
  weightsId,
} from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
import type { OpenedCheckpoint } from '../model/opened.ts';
import { NORM_IDS } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { usage } from './args.ts';
import { isFolder, readText } from './files.ts';

export type Chosen = { readonly info: ModelInfo; readonly weights: string; readonly folder: URL };

/** Files on the disk, for the library. */
const fromDisk: Get = async (url) => {
  try {
    return new Response(await readFile(url));
  } catch (cause) {
    throw usage(
      `Cannot read "${fileURLToPath(url)}": ${cause instanceof Error ? cause.message : cause}`,
      `Copy the whole model folder: ${CARD}, the tokenizer, and each twin's configuration and weights.`,
    );
  }
};

/** What stands in every version of a card. */
const CARD_MARK = MODEL_SCHEMA.slice(0, MODEL_SCHEMA.lastIndexOf('/'));

/** Where the models that come along lie: in the sources, in the built page, or beside this program. */
const homes = (): string[] =>
  ['../../public/models', '../models', './models']
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .filter(isFolder);

/** Whether a card of ours is there, damaged or not: others call their files so too. */
function hasCard(place: string): boolean {
  const card = join(place, CARD);
  return existsSync(card) && readText(card).includes(CARD_MARK);
}

/** Folder and twin (null: the model's first one) that `given` names. */
function find(given: string): { folder: string; twin: string | null } {
  const places = [resolve(given), ...homes().map((home) => join(home, given))];
  for (const place of places) {
    if (hasCard(place)) return { folder: place, twin: null };
    if (hasCard(dirname(place))) return { folder: dirname(place), twin: basename(place) };
  }
  const known = homes().flatMap((home) => readdirSync(home).filter((id) => hasCard(join(home, id))));
  throw usage(
    `Cannot find model "${given}": it is no folder with a ${CARD} (its own or its parent's) or a ${CONFIG}, and no model that comes along`,
    `There ${known.length ? `is ${known.join(', ')}` : 'are none beside this program'}; write <model>/<twin>, or the path of a folder.`,
  );
}

/** Throws Problem `usage` or `bad-file`. */
export function chooseModel(given: string): Chosen {
  const { folder: home, twin } = find(given);
  const info = parseModelInfo(join(home, CARD), readText(join(home, CARD)));
  const trained: readonly NormId[] = trainedNorms(info);
  // A twin's folder may have any name: its configuration's path tells.
  const norm =
    twin === null
      ? firstTwin(info)
      : (trained.find((id) => dirname(info.twins[id]?.config ?? '') === twin) ??
        trained.find((id) => id === twin));
  if (norm === undefined) {
    const isMember = NORM_IDS.some((id) => id === twin);
    throw usage(
      `Cannot find twin "${twin}" of model "${info.id}": ${isMember ? 'none was trained with this norm' : 'there is no such norm'}`,
      `Its twins are ${trained.join(', ')}${isMember ? `; --norm ${twin} puts it on another twin's weights` : ''}.`,
    );
  }
  return { info, weights: weightsId(info.id, norm), folder: new URL(`${pathToFileURL(home).href}/`) };
}

/** Bytes that one buffer holds on any adapter worth the name: how much of a long context is allowed for. */
const BUFFER_BYTES = 2 ** 28;

/** The files of a folder, as a source of a checkpoint. */
async function sourceIn(path: string): Promise<Source> {
  const list = async () => {
    const entries = await readdir(path, { withFileTypes: true });
    return Promise.all(
      entries
        .filter((entry) => !entry.isDirectory() && existsSync(join(path, entry.name))) // no link to what is gone
        .map(async ({ name }) => ({ path: name, sizeBytes: (await stat(join(path, name))).size })),
    );
  };
  const read = async (name: string, begin: number, end: number): Promise<Uint8Array> => {
    const file = await open(join(path, name));
    try {
      const bytes = new Uint8Array(end - begin);
      const { bytesRead } = await file.read(bytes, 0, bytes.length, begin);
      return bytes.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  };
  return { ...(await folder({ label: path, list, read })), folder: basename(path) };
}

/** A model in a library of its own. */
type OpenedModel = {
  readonly library: Library;
  readonly info: ModelInfo;
  readonly weights: string;
};

/**
 * What a command is given: a twin, a folder with a card, or one of the transformers library, whose configuration and
 * tensors are then its own words. Throws Problem `usage`, `bad-file` or `unsupported`.
 */
export async function openModel(given: string): Promise<OpenedModel> {
  const path = resolve(given);
  const isCheckpoint = existsSync(join(path, CONFIG)) && !hasCard(path) && !hasCard(dirname(path));
  if (!isCheckpoint) {
    const chosen = chooseModel(given);
    return { ...chosen, library: libraryOf([chosen]) };
  }
  const library = libraryOf([]);
  // Read once to know the digest; a device reads its tensors again.
  const put = async ({ streamed }: OpenedCheckpoint) => {
    for await (const tensor of streamed.read()) void tensor;
    return async () => undefined;
  };
  const { model: info, loaded } = await openInto(
    library,
    { source: await sourceIn(path) },
    BUFFER_BYTES,
    put,
  );
  return { library, info, weights: loaded.weights };
}

/** A library of these. Throws Problem `usage` where two models call themselves the same. */
export function libraryOf(chosen: readonly Chosen[]): Library {
  const folders = new Map<string, URL>();
  for (const { info, folder: home } of chosen) {
    const known = folders.get(info.id);
    if (known && known.href !== home.href) {
      throw usage(
        `Cannot tell two models apart: "${fileURLToPath(known)}" and "${fileURLToPath(home)}" both are "${info.id}"`,
        `Give one of them another "id" in its ${CARD}.`,
      );
    }
    folders.set(info.id, home);
  }
  return new Library((id) => {
    const home = folders.get(id);
    if (!home) throw new RangeError(`Cannot find model "${id}": it was not chosen`);
    return home;
  }, fromDisk);
}
