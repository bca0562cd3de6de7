// Every table of the page: it has a name, and can be copied as Markdown.
import { useRef } from 'react';
import type { ReactNode } from 'react';
import { markdownTable } from '../../receipt/markdown.ts';
import { useCopied } from '../hooks.ts';
import './keep.css';

/** What a cell says, with a space between what stands side by side; of a picture its label, of a choice what is chosen. */
function wordsOf(node: Node): string {
  if (node instanceof HTMLSelectElement) return node.selectedOptions[0]?.text ?? '';
  if (!(node instanceof HTMLElement)) return node.textContent ?? '';
  if (node.ariaHidden === 'true') return '';
  if (node.role === 'img') return node.ariaLabel ?? '';
  return Array.from(node.childNodes, (child, index) => {
    const isBesideElement = child instanceof HTMLElement && node.childNodes[index - 1] instanceof HTMLElement;
    return `${isBesideElement ? ' ' : ''}${wordsOf(child)}`;
  }).join('');
}

/** Cells of a row; one that spans columns is followed by empty ones. */
const cellsOf = ({ cells }: HTMLTableRowElement): string[] =>
  Array.from(cells).flatMap((cell) => [wordsOf(cell), ...Array<string>(cell.colSpan - 1).fill('')]);

/** A table as it stands on the page, under its name. */
function markdownOf(name: string, table: HTMLTableElement): string {
  const header = Array.from(table.tHead?.rows ?? []).at(-1);
  const rows = Array.from(table.tBodies).flatMap((body) => Array.from(body.rows, cellsOf));
  return `**${name}**\n\n${markdownTable(header ? cellsOf(header) : [], rows)}`;
}

export function DataTable({
  name,
  isNamed = false,
  className,
  children,
}: {
  readonly name: string;
  /** Its name stands over it; else only screen readers and Markdown have it. */
  readonly isNamed?: boolean;
  readonly className?: string;
  readonly children: ReactNode;
}) {
  const table = useRef<HTMLTableElement>(null);
  const [isCopied, copy] = useCopied();
  return (
    <table ref={table} className={className} aria-label={name}>
      <caption className={isNamed ? '' : 'bare'}>
        {isNamed && name}
        <button
          type="button"
          className="quiet copy-table"
          aria-label="Copy as Markdown"
          title="Copy as Markdown"
          onClick={() => table.current && copy(markdownOf(name, table.current))}
        >
          {isCopied ? 'Copied' : 'Copy'}
        </button>
        <span className="unseen" aria-live="polite">
          {isCopied && 'Copied as Markdown'}
        </span>
      </caption>
      {children}
    </table>
  );
}
