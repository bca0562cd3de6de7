// A model of the Hugging Face Hub, straight from the browser: an address becomes a commit and its list of files.
import * as v from 'valibot';
import { Problem } from '../problem.ts';
import { fetchSmall, httpFiles, WEB } from './http.ts';
import type { Web } from './http.ts';
import { parseStrictJson } from './json.ts';
import type { Source } from './source.ts';

export type HubAddress = { readonly repository: string; readonly revision: string };

const HUB = new URL('https://huggingface.co/');
const ADDRESS =
  /^(?:https:\/\/huggingface\.co\/)?(?<repository>[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95})(?:(?:@|\/tree\/)(?<revision>[\w.+-]+(?:\/[\w.+-]+)*))?\/?$/;
const LIST_LIMIT_BYTES = 16 * 2 ** 20;

/** `owner/name[@revision]` or a model page's address; undefined when `text` is neither. */
export function parseHubAddress(text: string): HubAddress | undefined {
  const { repository, revision = 'main' } = ADDRESS.exec(text.trim())?.groups ?? {};
  if (!repository || `${repository}/${revision}`.includes('..') || repository.includes('--'))
    return undefined;
  return { repository, revision };
}

const Info = v.object({
  sha: v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/)),
  siblings: v.array(
    v.object({
      rfilename: v.string(),
      size: v.nullish(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
    }),
  ),
});

/**
 * The files of one commit: a branch may move while its shards are fetched, a commit may not.
 * Throws Problem `denied` (private, gated, misspelt), `not-found`, `network`.
 */
export async function hubFiles(
  { repository, revision }: HubAddress,
  signal?: AbortSignal,
  { hub = HUB, web = WEB }: { hub?: URL; web?: Web } = {},
): Promise<Source> {
  const label = `${repository}@${revision}`;
  const url = new URL(`api/models/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`, hub);
  const bytes = await fetchSmall(url, LIST_LIMIT_BYTES, { web, isOpen: true, ...(signal ? { signal } : {}) });
  const unreadable = (reason: string): Problem =>
    new Problem(
      'network',
      `Cannot read the list of files of ${label}: ${reason}`,
      'The Hub may have changed: download the files and drop the folder here.',
    );
  let value: unknown;
  try {
    value = parseStrictJson(bytes, { maxBytes: LIST_LIMIT_BYTES });
  } catch (cause) {
    throw unreadable(cause instanceof Error ? cause.message : String(cause));
  }
  const parsed = v.safeParse(Info, value, { abortEarly: true });
  if (!parsed.success) throw unreadable(parsed.issues[0].message);
  const { sha, siblings } = parsed.output;
  return httpFiles(new URL(`${repository}/resolve/${sha}/`, hub), {
    label,
    files: siblings.flatMap(({ rfilename, size }) =>
      size === undefined || size === null ? [] : [{ path: rfilename, sizeBytes: size }],
    ),
    fixedTag: sha,
    isOpen: true,
    web,
  });
}
