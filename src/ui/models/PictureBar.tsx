import { useEffect, useRef } from 'react';
import { chosenSurvey, pictureOf } from '../../store/models.ts';
import { pin } from '../../store/store.ts';
import { FileButton } from '../controls/FileButton.tsx';
import { RunStatus } from '../controls/PromptBar.tsx';
import { useExperiment, useWires } from '../hooks.ts';
import { drawPicture } from '../picture.ts';
import { showPicture } from './open.ts';
import './models.css';

/** The prompt of an image model: the picture it looks at. */
export function PictureBar() {
  const wires = useWires();
  const { store, session } = wires;
  const image = useExperiment(pictureOf);
  const shape = useExperiment((state) => chosenSurvey(state)?.image ?? null);
  const isBusy = useExperiment(({ run }) => run.phase !== 'idle' || run.timingProgress !== null);
  const hasResult = useExperiment((state) => state.run.result !== null);
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (canvas.current) drawPicture(canvas.current, image.picture);
  }, [image]);
  const { width, height } = image.picture;
  return (
    <section className="prompt picture-bar" aria-label="Picture">
      <canvas ref={canvas} role="img" aria-label={`The picture: ${image.name}`} />
      <div>
        <div className="prompt-line">
          <p className="picture-name">
            {image.name}{' '}
            <small className="soft">
              {width} × {height}
              {shape && ` → ${shape.image[1]} × ${shape.image[0]}`}
            </small>
          </p>
          <FileButton
            words="Choose picture"
            accept="image/*"
            onFiles={([first]) => first && void showPicture(wires, first.file)}
          />
          <button type="button" className="primary" onClick={() => void session.run()}>
            Run
          </button>
          <button type="button" disabled={!isBusy} onClick={session.stop}>
            Stop
          </button>
        </div>
        <div className="prompt-foot">
          <button type="button" className="quiet" disabled={!hasResult} onClick={() => pin(store)}>
            Pin as A
          </button>
          <span>Drop a picture anywhere on the page. It stays in this tab.</span>
          <RunStatus />
        </div>
      </div>
    </section>
  );
}
