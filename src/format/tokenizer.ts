// Text to token ids and back, by the model's own tokenizer.json. The one importer of @huggingface/tokenizers.
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { Problem } from '../problem.ts';
import { parseStrictJson } from './json.ts';

export type Token = {
  readonly id: number;
  /** What the token adds to the text; bytes that are no whole character yet show as U+FFFD. */
  readonly text: string;
};

/** The largest vocabularies (256,000 tokens with their merges) are 35 MB. */
const LIMITS = { maxBytes: 128 * 2 ** 20, maxValues: 10_000_000 };

/** Largest token id of a tokenizer.json, -1 when it has none: the vocabulary is a map of ids or a list in their order. */
function largestId(json: unknown): number {
  const { model, added_tokens: added } = (json ?? {}) as {
    model?: { vocab?: unknown };
    added_tokens?: unknown;
  };
  const vocab = model?.vocab;
  let largest = Array.isArray(vocab) ? vocab.length - 1 : -1;
  const ids: unknown[] = [
    ...(Array.isArray(vocab) ? [] : Object.values(vocab ?? {})),
    ...(Array.isArray(added) ? added.map((token: { id?: unknown } | null) => token?.id) : []),
  ];
  for (const id of ids) {
    if (!Number.isSafeInteger(id) || Number(id) < 0) throw new TypeError('a token id is no whole number');
    largest = Math.max(largest, Number(id));
  }
  return largest;
}

/** Text to ids and back. */
export type TextCodec = {
  encode(text: string): number[];
  decode(ids: readonly number[]): string;
  tokens(ids: readonly number[]): Token[];
};

export class Tokenizer implements TextCodec {
  readonly #inner: HfTokenizer;
  readonly #hasSpecial: boolean;
  /** The largest id it can give: a model needs a row of its embedding for it. */
  readonly largestId: number;

  /** With `hasSpecial` tokens such as [CLS] are put around a text. Throws Problem `bad-file` when `json` is no tokenizer. */
  constructor(file: string, json: string, hasSpecial = false) {
    this.#hasSpecial = hasSpecial;
    try {
      const value: unknown = parseStrictJson(new TextEncoder().encode(json), LIMITS);
      this.largestId = largestId(value);
      this.#inner = new HfTokenizer(value as object, {});
    } catch (cause) {
      throw new Problem(
        'bad-file',
        `Cannot read "${file}": ${cause instanceof Error ? cause.message : cause}`,
        'Fetch the tokenizer again.',
        cause,
      );
    }
  }

  /** Ids of `text`. Lone surrogates become U+FFFD, as in every UTF-8 encoder. */
  encode(text: string): number[] {
    const options = { add_special_tokens: this.#hasSpecial };
    return text === '' ? [] : this.#inner.encode(text.toWellFormed(), options).ids;
  }

  decode(ids: readonly number[]): string {
    if (ids.length === 0) return '';
    return this.#inner.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  tokens(ids: readonly number[]): Token[] {
    return ids.map((id) => ({ id, text: this.decode([id]) }));
  }
}

/** For models without a tokenizer: a text is ids with spaces between, and an id is its number or its label. */
export class IdCodec implements TextCodec {
  readonly #labels: readonly string[];

  constructor(labels: readonly string[] = []) {
    this.#labels = labels;
  }

  encode(text: string): number[] {
    return text.split(/[\s,]+/).flatMap((word) => (/^\d+$/.test(word) ? [Number(word)] : []));
  }

  decode(ids: readonly number[]): string {
    return ids.map((id) => this.#labels[id] ?? ` ${id}`).join('');
  }

  tokens(ids: readonly number[]): Token[] {
    return ids.map((id) => ({ id, text: this.decode([id]) }));
  }
}
