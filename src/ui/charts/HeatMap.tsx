// Tokens across, sites up: one value a cell. Hovering a cell marks its token and its site everywhere.
import { useEffect, useRef } from 'react';
import type { PointerEvent } from 'react';
import { useSize } from '../hooks.ts';

type Props = {
  /** rows[site][token], the first row at the top. */
  readonly rows: readonly ArrayLike<number>[];
  readonly names: readonly string[];
  readonly columns: number;
  readonly color: (value: number) => string | null;
  readonly row: number | null;
  readonly column: number | null;
  readonly label: string;
  readonly onHover: (row: number | null, column: number | null) => void;
  readonly onPick: (row: number, column: number) => void;
};

const ROW_HEIGHT = 13;
const NAME_WIDTH = 44;

/** Magenta hatching: a value that is no number. */
function hatch(context: CanvasRenderingContext2D, x: number, y: number, width: number, height: number): void {
  context.fillStyle = '#d81b8c';
  context.fillRect(x, y, width, height);
  context.strokeStyle = '#ffffff';
  context.lineWidth = 1;
  for (let at = -height; at < width; at += 4) {
    context.beginPath();
    context.moveTo(Math.max(x, x + at), y + Math.max(0, -at));
    context.lineTo(Math.min(x + width, x + at + height), y + Math.min(height, width - at));
    context.stroke();
  }
}

export function HeatMap({ rows, names, columns, color, row, column, label, onHover, onPick }: Props) {
  const [frame, { width }] = useSize<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const plotWidth = Math.max(0, width - NAME_WIDTH);
  const height = rows.length * ROW_HEIGHT;
  const cell = plotWidth / Math.max(1, columns);

  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context || plotWidth === 0) return;
    const ratio = devicePixelRatio;
    context.canvas.width = plotWidth * ratio;
    context.canvas.height = height * ratio;
    context.scale(ratio, ratio);
    const gap = cell > 5 ? 1 : 0;
    for (const [r, values] of rows.entries())
      for (let c = 0; c < columns; c++) {
        const fill = color(values[c] ?? Number.NaN);
        const place = [c * cell, r * ROW_HEIGHT, cell - gap, ROW_HEIGHT - 1] as const;
        if (fill === null) {
          hatch(context, ...place);
          continue;
        }
        context.fillStyle = fill;
        context.fillRect(...place);
      }
  }, [rows, columns, color, cell, plotWidth, height]);

  const cellAt = (event: PointerEvent<HTMLElement>): [number, number] => {
    const box = event.currentTarget.getBoundingClientRect();
    const clamp = (value: number, count: number): number =>
      Math.min(count - 1, Math.max(0, Math.floor(value)));
    return [
      clamp((event.clientY - box.top) / ROW_HEIGHT, rows.length),
      clamp((event.clientX - box.left) / cell, columns),
    ];
  };

  return (
    <div className="heat" ref={frame} style={{ height }}>
      <div className="heat-names" aria-hidden>
        {names.map((name, r) => (
          <span key={name} className={r === row ? 'on' : ''} style={{ height: ROW_HEIGHT }}>
            {name}
          </span>
        ))}
      </div>
      <div
        className="heat-cells"
        style={{ left: NAME_WIDTH, width: plotWidth, height }}
        onPointerMove={(event) => onHover(...cellAt(event))}
        onPointerLeave={() => onHover(null, null)}
        onClick={(event) => onPick(...cellAt(event as unknown as PointerEvent<HTMLElement>))}
        role="img"
        aria-label={label}
      >
        <canvas ref={canvas} style={{ width: plotWidth, height }} />
        {column !== null && column < columns && (
          <i className="mark" style={{ left: column * cell, width: cell, top: 0, height }} />
        )}
        {row !== null && (
          <i
            className="mark"
            style={{ left: 0, width: plotWidth, top: row * ROW_HEIGHT, height: ROW_HEIGHT - 1 }}
          />
        )}
      </div>
    </div>
  );
}
