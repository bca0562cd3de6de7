// A fit over an engine's device and models: where its texts come from, and what it may use.
import { runFit } from '../fit/fit.ts';
import type { Lab, Model } from '../fit/lab.ts';
import type { FitOptions, FitReport, FitSpec, Window } from '../fit/spec.ts';
import type { Checkpoint } from '../model/model.ts';
import { splitWeightsId } from '../model/catalog.ts';
import { Problem } from '../problem.ts';
import type { Library } from './library.ts';

const NO_TEXT = new Problem(
  'usage',
  'Cannot fit: the model brings no text to fit on and to measure on',
  'Give both: one to calibrate, and another one that no fit sees.',
);

export async function fitOn(
  spec: FitSpec,
  library: Library,
  place: Omit<Lab, 'model'>,
  load: (id: string, checkpoint: Checkpoint) => Promise<Omit<Model, 'id' | 'checkpoint' | 'sha256'>>,
  options: FitOptions,
): Promise<FitReport> {
  const { model } = splitWeightsId(spec.weights);
  const { info } = await library.model(model);
  const own = async (use: 'calibration' | 'heldOut'): Promise<readonly Window[] | undefined> =>
    (await library.windows(model, use))?.slice(0, spec.mostWindows?.[use]);
  const calibration = spec.calibration ?? (await own('calibration'));
  const heldOut = spec.heldOut ?? (await own('heldOut'));
  if (!calibration || !heldOut) throw NO_TEXT;
  const lab: Lab = {
    ...place,
    model: async (id) => {
      const checkpoint = await library.checkpoint(id);
      const { sha256 } = await library.load(id);
      return { id, checkpoint, sha256, ...(await load(id, checkpoint)) };
    },
  };
  return runFit(spec, { calibration, heldOut }, lab, info, options);
}
