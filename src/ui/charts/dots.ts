// The dots of the S-curve on a canvas: counts of the plane, or every value by its token or channel.
import { scaleLinear } from 'd3-scale';
import type { ScaleLinear } from 'd3-scale';
import type { SiteReport } from '../../engine/api.ts';
import { CURVE } from '../../kernel/probe.ts';
import type { Look } from '../look.ts';

export type Plane = {
  readonly x: ScaleLinear<number, number>;
  readonly y: ScaleLinear<number, number>;
};

export const planeOf = ({ x, core }: SiteReport['curveRange'], width: number, height: number): Plane => ({
  x: scaleLinear([-x, x], [0, width]),
  y: scaleLinear([-core * 1.12, core * 1.12], [height, 0]),
});

/** From this many on a dot is a square: circles take too long. */
const MANY = 20_000;

/** Counts of the plane's cells: bigger dots are more values. */
export function drawDensity(
  context: CanvasRenderingContext2D,
  { x, y }: Plane,
  report: SiteReport,
  color: string,
): void {
  const { x: maxX, core: maxCore } = report.curveRange;
  const most = Math.log1p(report.curve.reduce((largest, count) => Math.max(largest, count), 1));
  const cellX = (2 * maxX) / CURVE.across;
  const cellCore = (2 * maxCore) / CURVE.up;
  context.fillStyle = color;
  for (let cell = 0; cell < report.curve.length; cell++) {
    const count = report.curve[cell] ?? 0;
    if (count === 0) continue;
    const weight = Math.log1p(count) / most;
    const cx = x(-maxX + cellX * ((cell % CURVE.across) + 0.5));
    const cy = y(-maxCore + cellCore * (Math.floor(cell / CURVE.across) + 0.5));
    context.globalAlpha = 0.18 + 0.62 * weight;
    context.beginPath();
    context.arc(cx, cy, 1.1 + 2.4 * weight, 0, 2 * Math.PI);
    context.fill();
  }
}

/** Every value as a dot; `paint` says its colour and radius, those with null come first and pale. */
export function drawValues(
  context: CanvasRenderingContext2D,
  { x, y }: Plane,
  look: Look,
  paint: (token: number, channel: number) => string | null,
  pale: string,
): void {
  const { C } = look;
  const isMany = look.x.length > MANY;
  const dot = (i: number, radius: number): void => {
    const [cx, cy] = [x(look.x[i] ?? Number.NaN), y(look.core[i] ?? Number.NaN)];
    if (isMany) return context.fillRect(cx - radius, cy - radius, 2 * radius, 2 * radius);
    context.beginPath();
    context.arc(cx, cy, radius, 0, 2 * Math.PI);
    context.fill();
  };
  const painted: [index: number, color: string][] = [];
  context.globalAlpha = 0.3;
  context.fillStyle = pale;
  for (let i = 0; i < look.x.length; i++) {
    const color = paint(Math.floor(i / C), i % C);
    if (color === null) dot(i, 1);
    else painted.push([i, color]);
  }
  context.globalAlpha = 0.85;
  for (const [i, color] of painted) {
    context.fillStyle = color;
    dot(i, isMany ? 1 : 2);
  }
}

/** The value whose dot is nearest to a place on the screen, if one is within `reach` pixels. */
export function nearestValue(
  { x, y }: Plane,
  look: Look,
  at: { readonly x: number; readonly y: number },
  reach = 16,
): { readonly token: number; readonly channel: number } | null {
  let best = -1;
  let least = reach * reach;
  for (let i = 0; i < look.x.length; i++) {
    const dx = x(look.x[i] ?? Number.NaN) - at.x;
    const dy = y(look.core[i] ?? Number.NaN) - at.y;
    const distance = dx * dx + dy * dy;
    if (distance < least) [least, best] = [distance, i];
  }
  return best < 0 ? null : { token: Math.floor(best / look.C), channel: best % look.C };
}
