// Text to token ids and back, by the model's own tokenizer.json. The one importer of @huggingface/tokenizers.
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { Problem } from '../problem.ts';

export type Token = {
  readonly id: number;
  /** What the token adds to the text; bytes that are no whole character yet show as U+FFFD. */
  readonly text: string;
};

export class Tokenizer {
  readonly #inner: HfTokenizer;

  /** Throws Problem `bad-file` when `json` is no tokenizer. */
  constructor(file: string, json: string) {
    try {
      this.#inner = new HfTokenizer(JSON.parse(json), {});
    } catch (cause) {
      throw new Problem(
        'bad-file',
        `Cannot read "${file}": ${cause instanceof Error ? cause.message : cause}`,
        'Fetch the tokenizer again.',
        cause,
      );
    }
  }

  /** Ids of `text`, no special tokens added. Lone surrogates become U+FFFD, as in every UTF-8 encoder. */
  encode(text: string): number[] {
    return text === '' ? [] : this.#inner.encode(text.toWellFormed(), { add_special_tokens: false }).ids;
  }

  decode(ids: readonly number[]): string {
    if (ids.length === 0) return '';
    return this.#inner.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  tokens(ids: readonly number[]): Token[] {
    return ids.map((id) => ({ id, text: this.decode([id]) }));
  }
}
