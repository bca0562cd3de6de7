// How components read the store and speak to the session.
import { createContext, useContext, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import type { RefObject } from 'react';
import { useStore } from 'zustand';
import type { DroppedFile } from '../store/open-files.ts';
import type { Session } from '../store/session.ts';
import type { Experiment, State } from '../store/store.ts';
import { droppedFiles } from './dropped.ts';

export type Wires = { readonly store: Experiment; readonly session: Session };

export const Wiring = createContext<Wires | null>(null);

export function useWires(): Wires {
  const wires = useContext(Wiring);
  if (!wires) throw new Error('Cannot render outside <Wiring>');
  return wires;
}

export const useExperiment = <T>(select: (state: State) => T): T => useStore(useWires().store, select);

const DARK = '(prefers-color-scheme: dark)';

function useMedia(query: string): boolean {
  return useSyncExternalStore(
    (onChange) => {
      const media = matchMedia(query);
      media.addEventListener('change', onChange);
      return () => media.removeEventListener('change', onChange);
    },
    () => matchMedia(query).matches,
  );
}

/** Whether the page is dark now: the visitor's choice, else the system's. */
export function useIsDark(): boolean {
  const theme = useExperiment((state) => state.view.theme);
  const isSystemDark = useMedia(DARK);
  return theme === 'system' ? isSystemDark : theme === 'dark';
}

/** Files dropped anywhere on the page; the body shows while they hover. */
export function useDroppedFiles(onFiles: (files: Promise<DroppedFile[]>) => void): void {
  const latest = useRef(onFiles);
  useEffect(() => {
    latest.current = onFiles;
  });
  useEffect(() => {
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') === true;
    const mark = (isOver: boolean): void => void document.body.classList.toggle('dropping', isOver);
    const over = (event: DragEvent): void => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      mark(true);
    };
    const leave = (event: DragEvent): void => {
      if (!event.relatedTarget) mark(false);
    };
    const drop = (event: DragEvent): void => {
      mark(false);
      if (!hasFiles(event)) return;
      event.preventDefault();
      if (event.dataTransfer) latest.current(droppedFiles(event.dataTransfer));
    };
    document.addEventListener('dragover', over);
    document.addEventListener('dragleave', leave);
    document.addEventListener('drop', drop);
    return () => {
      document.removeEventListener('dragover', over);
      document.removeEventListener('dragleave', leave);
      document.removeEventListener('drop', drop);
    };
  }, []);
}

/** Width and height of an element in CSS pixels, kept up to date. */
export function useSize<E extends HTMLElement>(): [RefObject<E | null>, { width: number; height: number }] {
  const ref = useRef<E>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  useEffect(() => {
    const element = ref.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(() =>
      setSize({ width: element.clientWidth, height: element.clientHeight }),
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, size];
}

/** Puts text on the clipboard, also on pages that are not secure and so have none of their own. */
async function toClipboard(text: string): Promise<void> {
  if (isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.body.appendChild(document.createElement('textarea'));
  area.value = text;
  area.select();
  document.execCommand('copy');
  area.remove();
}

/** Copies, and says for a moment that it has. */
export function useCopied(): readonly [isCopied: boolean, copy: (text: string) => void] {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return undefined;
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [isCopied]);
  return [isCopied, (text) => void toClipboard(text).then(() => setCopied(true))];
}
