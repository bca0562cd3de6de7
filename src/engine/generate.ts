// Generation on a device: forwards are sent ahead of the tokens they read.
import type { TextCodec } from '../format/tokenizer.ts';
import { ReadRing } from '../gpu/ring.ts';
import type { Checkpoint } from '../model/model.ts';
import type { Mode, Program } from '../model/program.ts';
import { drawForm, drawTable, drawTableBytes } from '../model/sample.ts';
import type { Sampling } from '../model/sample.ts';
import { drawTokens } from './answer.ts';
import type { Engine, Generation } from './api.ts';
import type { Session } from './device-session.ts';

/** Forwards on the way to the GPU while a token is on its way back. */
const AHEAD = 4;

/** Continues `prompt`; `programOf` builds the plan's programs. */
export async function generateOn(
  session: Session,
  checkpoint: Checkpoint,
  programOf: (mode: Mode) => Promise<Program>,
  prompt: readonly number[],
  sampling: Sampling,
  tokenizer: TextCodec,
  options: NonNullable<Parameters<Engine['generate']>[3]>,
): Promise<Generation> {
  const { gpu } = session;
  const { context, model } = checkpoint;
  const space = session.space(checkpoint);
  const draw = drawForm(sampling, model.dims.V);
  const modeOf = (kind: Mode['kind']): Mode => ({ kind, hasProbes: false, draw });
  using prefill = await programOf(modeOf('prefill'));
  using decode = prefill.isCausal ? await programOf(modeOf('decode')) : null;
  using ring = new ReadRing(gpu, 4, AHEAD);
  const tokens = space.activation('tokens', 1);
  gpu.write(tokens, Uint32Array.from(prompt));
  gpu.write(space.scratch('draws', drawTableBytes(context)), drawTable(sampling, prompt.length, context));
  // Where a token goes and where it is read is known before it is: forwards are sent ahead of their tokens.
  const next = async (index: number): Promise<number> => {
    const position = prompt.length + index;
    const step = index === 0 ? null : decode;
    const past = step ? position - 1 : 0;
    (step ?? prefill).advance(position - past, past, (encoder) =>
      ring.copy(index, encoder, tokens, 4 * position),
    );
    const [id] = new Uint32Array(await ring.read(index));
    return id ?? 0;
  };
  const drawn = await drawTokens(prompt.length, sampling, context, tokenizer, next, AHEAD, options);
  return { ...drawn, isCached: prefill.isCausal, readbackBytes: ring.readBytes };
}
