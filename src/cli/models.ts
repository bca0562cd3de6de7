// Which model a command means: a twin that Normscope brings along, or a folder with the files of one.
import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Library } from '../engine/library.ts';
import type { Get } from '../format/fetch.ts';
import { CARD, firstTwin, parseModelInfo, trainedNorms, weightsId } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
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

/** Where the models that come along lie: in the sources, in the built page, or beside this program. */
const homes = (): string[] =>
  ['../../public/models', '../models', './models']
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .filter(isFolder);

const hasCard = (folder: string): boolean => existsSync(join(folder, CARD));

/** Folder and twin (null: the model's first one) that `given` names. */
function find(given: string): { folder: string; twin: string | null } {
  const places = [resolve(given), ...homes().map((home) => join(home, given))];
  for (const place of places) {
    if (hasCard(place)) return { folder: place, twin: null };
    if (hasCard(dirname(place))) return { folder: dirname(place), twin: basename(place) };
  }
  const known = homes().flatMap((home) => readdirSync(home).filter((id) => hasCard(join(home, id))));
  throw usage(
    `Cannot find model "${given}": it is no folder with a ${CARD} (its own or its parent's), and no model that comes along`,
    `There ${known.length ? `is ${known.join(', ')}` : 'are none beside this program'}; write <model>/<twin>, or the path of a folder.`,
  );
}

/** Throws Problem `usage` or `bad-file`. */
export function chooseModel(given: string): Chosen {
  const { folder, twin } = find(given);
  const info = parseModelInfo(join(folder, CARD), readText(join(folder, CARD)));
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
  return { info, weights: weightsId(info.id, norm), folder: new URL(`${pathToFileURL(folder).href}/`) };
}

/** A library of these. Throws Problem `usage` where two models call themselves the same. */
export function libraryOf(chosen: readonly Chosen[]): Library {
  const folders = new Map<string, URL>();
  for (const { info, folder } of chosen) {
    const known = folders.get(info.id);
    if (known && known.href !== folder.href) {
      throw usage(
        `Cannot tell two models apart: "${fileURLToPath(known)}" and "${fileURLToPath(folder)}" both are "${info.id}"`,
        `Give one of them another "id" in its ${CARD}.`,
      );
    }
    folders.set(info.id, folder);
  }
  return new Library((id) => {
    const folder = folders.get(id);
    if (!folder) throw new RangeError(`Cannot find model "${id}": it was not chosen`);
    return folder;
  }, fromDisk);
}
