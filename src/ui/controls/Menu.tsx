import { useEffect, useRef } from 'react';
import type { ReactNode } from 'react';

/** A small panel under its button; a click outside, Escape, or a button in it that was pressed closes it. */
export function Menu({
  label,
  sign,
  title,
  children,
}: {
  readonly label: string;
  readonly sign: string;
  readonly title: string;
  readonly children: ReactNode;
}) {
  const details = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event): void => {
      const element = details.current;
      if (!element?.open) return;
      const isOutside =
        event instanceof PointerEvent && event.target instanceof Node && !element.contains(event.target);
      if (isOutside || (event instanceof KeyboardEvent && event.key === 'Escape')) element.open = false;
    };
    document.addEventListener('pointerdown', close);
    document.addEventListener('keydown', close);
    return () => {
      document.removeEventListener('pointerdown', close);
      document.removeEventListener('keydown', close);
    };
  }, []);
  return (
    <details className="menu" ref={details}>
      <summary aria-label={label} title={title}>
        {sign}
      </summary>
      <div
        className="menu-body"
        onClick={({ target }) => {
          if (target instanceof Element && target.closest('button') && details.current)
            details.current.open = false;
        }}
      >
        {children}
      </div>
    </details>
  );
}
