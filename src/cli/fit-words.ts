// What the commands that fit share: the texts they take, and what they tell on the way.
import { readWindows } from '../engine/library.ts';
import type { Library } from '../engine/library.ts';
import type { FitProgress, Window } from '../fit/spec.ts';
import { windowsOf } from '../fit/windows.ts';
import type { ModelInfo } from '../model/catalog.ts';
import type { Say } from './args.ts';
import { readBytes, readText } from './files.ts';

const SAY_EVERY_MS = 5000;

export const TEXT_OPTIONS = {
  calibration: {
    type: 'string',
    value: 'file',
    says: 'what to fit on instead of the model’s own: text, or tokens as uint16 in a .bin',
  },
  'held-out': { type: 'string', value: 'file', says: 'and what to measure on' },
} as const;

/** Whole windows of one length, of at most `longest` tokens; before a text stands the first token of the vocabulary. */
export async function windowsIn(
  file: string | undefined,
  library: Library,
  { id }: ModelInfo,
  longest: number,
): Promise<readonly Window[] | undefined> {
  if (file === undefined) return undefined;
  const ids = file.endsWith('.bin')
    ? readWindows(readBytes(file))
    : [0, ...(await library.tokenize(id, readText(file))).map((token) => token.id)];
  return windowsOf(ids, longest);
}

/** Tells of every new stage, and every few seconds how far it is. */
export function teller(say: Say): (progress: FitProgress) => void {
  let saidAtMs = -Infinity;
  let saidStage = '';
  return ({ stage, done, of, what, loss, r2 }) => {
    const nowMs = performance.now();
    if (stage === saidStage && nowMs - saidAtMs < SAY_EVERY_MS) return;
    saidAtMs = nowMs;
    saidStage = stage;
    const found =
      loss !== undefined ? `, loss ${loss.toFixed(4)}` : r2 !== undefined ? `, R² ${r2.toFixed(4)}` : '';
    say(`${stage}: ${what}${found} (${done} of ${of})`);
  };
}
