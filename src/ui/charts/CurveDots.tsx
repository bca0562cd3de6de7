import { useCallback } from 'react';
import type { SiteReport } from '../../engine/api.ts';
import type { Colouring } from '../../store/microscope.ts';
import { CATEGORIES, normColor, PALE, spreadScale } from '../colors.ts';
import type { Look } from '../look.ts';
import { useCanvas } from './canvas.ts';
import { drawDensity, drawValues, planeOf } from './dots.ts';

type Props = {
  readonly report: SiteReport;
  readonly look: Look | null;
  readonly colouring: Colouring;
  readonly extremes: readonly number[];
  readonly width: number;
  readonly height: number;
  readonly isDark: boolean;
};

/** The dots of the S-curve. */
export function CurveDots({ report, look, colouring, extremes, width, height, isDark }: Props) {
  const draw = useCallback(
    (context: CanvasRenderingContext2D): void => {
      const theme = isDark ? 'dark' : 'light';
      const plane = planeOf(report.curveRange, width, height);
      if (colouring === 'density' || !look)
        return drawDensity(context, plane, report, normColor(report.norm, isDark));
      const { std } = report.tokens;
      const { color } = spreadScale(std, isDark);
      const rank = new Map(extremes.map((c, i) => [c, CATEGORIES[theme][i] ?? null]));
      const paint = (token: number, channel: number): string | null =>
        colouring === 'token' ? color(std[token] ?? Number.NaN) : (rank.get(channel) ?? null);
      drawValues(context, plane, look, paint, PALE[theme]);
    },
    [report, look, colouring, extremes, width, height, isDark],
  );
  const canvas = useCanvas(width, height, draw);
  return <canvas ref={canvas} style={{ width, height }} aria-hidden />;
}
