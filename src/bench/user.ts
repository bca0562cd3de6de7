// Forwards as a user has them: a token is drawn where its logits are and comes back as four bytes, with a few
// forwards on the way while one is read, as in a generation.
import type { Gpu } from '../gpu/device.ts';
import { ReadRing } from '../gpu/ring.ts';
import type { Program } from '../model/program.ts';
import { drawForm, drawTable, drawTableBytes } from '../model/sample.ts';
import type { Sampling } from '../model/sample.ts';
import type { Workspace } from '../model/workspace.ts';
import type { Timed } from './protocol.ts';

const AHEAD = 4;
const GREEDY: Sampling = { temperature: 0, topK: 0, seed: 1, maxTokens: 1 };

/** How programs of the user's level draw. */
export const userDraw = (vocabSize: number): ReturnType<typeof drawForm> => drawForm(GREEDY, vocabSize);

/** Runs of a program that draws, over tokens that lie in the workspace already: T of them after `past`. */
export class UserRuns implements Disposable {
  readonly #program: Program;
  readonly #ring: ReadRing;
  readonly #space: Workspace;
  readonly #T: number;
  readonly #past: number;

  constructor(gpu: Gpu, program: Program, space: Workspace, T: number, past: number) {
    this.#program = program;
    this.#ring = new ReadRing(gpu, 4, AHEAD);
    this.#space = space;
    this.#T = T;
    this.#past = past;
    const draws = space.scratch('draws', drawTableBytes(space.rows));
    gpu.write(draws, drawTable(GREEDY, past + T, space.rows));
  }

  async run(n: number): Promise<Timed> {
    const startMs = performance.now();
    const tokens = this.#space.activation('tokens', 1);
    // A full context has no place for one more token: then the last one comes back.
    const position = Math.min(this.#past + this.#T, this.#space.rows - 1);
    const pending: Promise<ArrayBuffer>[] = [];
    for (let i = 0; i < n; i++) {
      this.#program.advance(this.#T, this.#past, (encoder) =>
        this.#ring.copy(i, encoder, tokens, 4 * position),
      );
      pending.push(this.#ring.read(i));
      if (pending.length >= AHEAD) await pending.shift();
    }
    await Promise.all(pending);
    return { wallMs: performance.now() - startMs, gpuNs: null };
  }

  [Symbol.dispose](): void {
    this.#ring[Symbol.dispose]();
  }
}
