// u of every value: tokens up, channels across. Hovering a cell marks its token and channel; arrows move the mark.
import { rgb } from 'd3-color';
import { useEffect, useRef } from 'react';
import type { KeyboardEvent, PointerEvent } from 'react';
import { useSize } from '../hooks.ts';

type Props = {
  /** [T, C] */
  readonly values: Float32Array;
  readonly C: number;
  /** Channels in the order they are drawn. */
  readonly order: readonly number[];
  readonly names: readonly string[];
  readonly color: (value: number) => string | null;
  readonly token: number | null;
  readonly channel: number | null;
  readonly label: string;
  readonly onHover: (token: number | null, channel: number | null) => void;
  readonly onPick: (token: number, channel: number) => void;
};

const NAME_WIDTH = 64;
const SHADES = 512;
/** Colours are looked up between these. */
export const MAP_REACH = 4;
const BROKEN = [216, 27, 140] as const;
/** Rows at least this high have their names beside them. */
const LEGIBLE = 10;

export function ChannelMap(props: Props) {
  const { values, C, order, names, color, token, channel, label, onHover, onPick } = props;
  const [frame, { width, height }] = useSize<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const T = names.length;
  const isThere = width > 0;
  const plotWidth = Math.max(1, width - NAME_WIDTH);
  const rowHeight = Math.min(22, Math.max(1, height / Math.max(1, T)));
  const plotHeight = rowHeight * T;

  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context || T === 0 || !isThere) return;
    const { canvas: element } = context;
    element.width = C;
    element.height = T;
    const table = Array.from({ length: SHADES + 1 }, (_, i) => {
      const { r, g, b } = rgb(color((2 * MAP_REACH * i) / SHADES - MAP_REACH) ?? '#000');
      return [r, g, b] as const;
    });
    const image = context.createImageData(C, T);
    for (let t = 0; t < T; t++)
      for (const [at, c] of order.entries()) {
        const u = values[t * C + c] ?? Number.NaN;
        const held = Math.min(1, Math.max(0, (u / MAP_REACH + 1) / 2));
        const [r, g, b] = (Number.isFinite(u) && table[Math.round(held * SHADES)]) || BROKEN;
        image.data.set([r, g, b, 255], 4 * (t * C + at));
      }
    context.putImageData(image, 0, 0);
  }, [values, C, T, order, color, isThere]);

  const cellAt = (event: PointerEvent<HTMLElement>): [number, number] => {
    const box = event.currentTarget.getBoundingClientRect();
    const at = (place: number, size: number, count: number): number =>
      Math.min(count - 1, Math.max(0, Math.floor((place / size) * count)));
    const column = at(event.clientX - box.left, box.width, C);
    return [at(event.clientY - box.top, box.height, T), order[column] ?? column];
  };
  const step = (event: KeyboardEvent): void => {
    const moves: Record<string, readonly [number, number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const column = Math.max(0, channel === null ? 0 : order.indexOf(channel));
    const next = Math.min(C - 1, Math.max(0, column + move[1]));
    onPick(Math.min(T - 1, Math.max(0, (token ?? 0) + move[0])), order[next] ?? next);
  };
  const column = channel === null ? -1 : order.indexOf(channel);

  return (
    <div className="channel-map" ref={frame}>
      {isThere && (
        <>
          {rowHeight >= LEGIBLE && (
            <div className="map-names" aria-hidden>
              {names.map((name, t) => (
                <code
                  key={t}
                  className={t === token ? 'on' : ''}
                  style={{ height: rowHeight, lineHeight: `${rowHeight}px` }}
                >
                  {name}
                </code>
              ))}
            </div>
          )}
          <div
            className="map-cells"
            role="application"
            tabIndex={0}
            aria-label={label}
            style={{ left: NAME_WIDTH, width: plotWidth, height: plotHeight }}
            onPointerMove={(event) => onHover(...cellAt(event))}
            onPointerLeave={() => onHover(null, null)}
            onClick={(event) => onPick(...cellAt(event as unknown as PointerEvent<HTMLElement>))}
            onKeyDown={step}
          >
            <canvas ref={canvas} style={{ width: plotWidth, height: plotHeight }} />
            {token !== null && token < T && (
              <i
                className="mark"
                style={{ left: 0, width: plotWidth, top: token * rowHeight, height: rowHeight }}
              />
            )}
            {column >= 0 && (
              <i
                className="mark"
                style={{
                  left: (column * plotWidth) / C,
                  width: Math.max(2, plotWidth / C),
                  top: 0,
                  height: plotHeight,
                }}
              />
            )}
          </div>
        </>
      )}
    </div>
  );
}
