// What was dropped or chosen, on its way to the session: pictures are decoded here, where there is a canvas.
import { Problem, problemData } from '../../problem.ts';
import { chosenSurvey } from '../../store/models.ts';
import type { DroppedFile } from '../../store/open-files.ts';
import { setRun } from '../../store/store.ts';
import type { Wires } from '../hooks.ts';
import { decodePicture, isPicture } from '../picture.ts';

/** Shows a picture to the chosen model. */
export async function showPicture({ store, session }: Wires, file: File): Promise<void> {
  try {
    if (!chosenSurvey(store.getState())?.image) {
      throw new Problem(
        'usage',
        `Cannot show "${file.name}" to this model: it reads text`,
        'Open an image model first, such as a ViT.',
      );
    }
    await session.showImage({ name: file.name, picture: await decodePicture(file) });
  } catch (thrown) {
    setRun(store, { problem: problemData(thrown) });
  }
}

export async function openDropped(wires: Wires, dropped: Promise<DroppedFile[]>): Promise<void> {
  try {
    const files = await dropped;
    const picture = files.find(({ file }) => isPicture(file));
    if (picture && files.length === 1) await showPicture(wires, picture.file);
    else await wires.session.openFiles(files);
  } catch (thrown) {
    setRun(wires.store, { problem: problemData(thrown) });
  }
}
