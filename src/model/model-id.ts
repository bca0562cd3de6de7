// Where a model is from, by its id: of this page, of the Hub (`hub:owner/name@revision`), or of somebody's disk
// (`disk:name@` and the first digits of its digest). Ids come out of links: what is none of these is no id.
import { parseHubAddress } from '../format/hub.ts';
import { MODEL_IDS } from './catalog.ts';

export type ModelPlace =
  | { readonly kind: 'page' }
  | { readonly kind: 'hub'; readonly address: string }
  | { readonly kind: 'disk'; readonly name: string };

const LONGEST_NAME = 60;
const DISK = new RegExp(`^disk:(?<name>[\\w.-]{1,${LONGEST_NAME}})@[0-9a-f]{16}$`);

/** `label`: repository and revision, as hub.ts labels its files. */
export const hubModelId = (label: string): string => `hub:${label}`;

/** `name`: a folder's name; `sha256` of its weights. */
export function diskModelId(name: string, sha256: string): string {
  const plain = name.replaceAll(/[^\w.-]+/g, '-').slice(0, LONGEST_NAME) || 'model';
  return `disk:${plain}@${sha256.slice(0, 16)}`;
}

/** Undefined for what is no model's id. */
export function placeOf(id: string): ModelPlace | undefined {
  if (MODEL_IDS.some((known) => known === id)) return { kind: 'page' };
  const name = DISK.exec(id)?.groups?.['name'];
  if (name !== undefined) return { kind: 'disk', name };
  const hub = id.startsWith('hub:') ? parseHubAddress(id.slice('hub:'.length)) : undefined;
  return hub && { kind: 'hub', address: `${hub.repository}@${hub.revision}` };
}

/** The id that a link means by `text`: an id, or an address of the Hub. Undefined for anything else. */
export function modelIdFrom(text: string): string | undefined {
  const hub = parseHubAddress(text.replace(/^hub:/, ''));
  if (hub) return hubModelId(`${hub.repository}@${hub.revision}`);
  return placeOf(text) && text;
}

/** A name for people: without the digest of a disk's model, without the Hub's usual revision. */
export function modelName(id: string): string {
  const place = placeOf(id);
  if (place?.kind === 'disk') return place.name;
  return place?.kind === 'hub' ? place.address.replace(/@main$/, '') : id;
}

/** Somebody brought it: it has one set of weights, and no twins. */
export const isBrought = (id: string): boolean => {
  const kind = placeOf(id)?.kind;
  return kind === 'hub' || kind === 'disk';
};
