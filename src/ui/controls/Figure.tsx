// Every figure of the page can be saved: this is the one way to it.
import { useRef } from 'react';
import type { ReactNode, RefObject } from 'react';
import { download, figureName, subjectOf } from '../exports.ts';
import type { Subject } from '../exports.ts';
import { figurePng, figureSvg } from '../figure-svg.ts';
import { useWires } from '../hooks.ts';
import { Menu } from './Menu.tsx';
import './keep.css';

type About = {
  /** A word of its file name. */
  readonly name: string;
  readonly title: string;
  /** What it is of, where that is not the shown run. */
  readonly subject?: Subject;
};

/** A reference for the element that is drawn, and the menu that saves it, for somewhere near. */
export function useFigure<E extends HTMLElement = HTMLDivElement>({
  name,
  title,
  subject: given,
}: About): readonly [figure: RefObject<E | null>, menu: ReactNode] {
  const { store } = useWires();
  const figure = useRef<E>(null);
  const save = async (format: 'svg' | 'png'): Promise<void> => {
    const subject = given ?? subjectOf(store.getState());
    if (!figure.current || !subject) return;
    const drawn = figureSvg(figure.current, { title, caption: subject.caption });
    const file = figureName(name, subject);
    if (format === 'svg') download(`${file}.svg`, 'image/svg+xml', drawn.svg);
    else download(`${file}.png`, 'image/png', await figurePng(drawn));
  };
  const menu = (
    <span className="keep">
      <Menu label={`Save: ${title}`} sign="⋯" title="Save this figure">
        <button type="button" onClick={() => void save('svg')}>
          Save SVG
        </button>
        <button type="button" onClick={() => void save('png')}>
          Save PNG
        </button>
      </Menu>
    </span>
  );
  return [figure, menu];
}
