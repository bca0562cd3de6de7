import { useEffect, useRef } from 'react';
import type { RefObject } from 'react';

/** A canvas of this size in CSS pixels, drawn anew whenever `draw` is another function. */
export function useCanvas(
  width: number,
  height: number,
  draw: (context: CanvasRenderingContext2D) => void,
): RefObject<HTMLCanvasElement | null> {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context || width === 0) return;
    const ratio = devicePixelRatio;
    context.canvas.width = width * ratio;
    context.canvas.height = height * ratio;
    context.scale(ratio, ratio);
    draw(context);
  }, [width, height, draw]);
  return canvas;
}
