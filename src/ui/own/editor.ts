// CodeMirror with as much of WGSL as a member needs; it comes when the editor is opened, and not before.
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import {
  bracketMatching,
  HighlightStyle,
  indentUnit,
  StreamLanguage,
  syntaxHighlighting,
} from '@codemirror/language';
import type { StreamParser } from '@codemirror/language';
import { lintGutter, setDiagnostics } from '@codemirror/lint';
import { EditorState } from '@codemirror/state';
import type { Text } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { Complaint } from '../../kernel/compile.ts';

const KEYWORDS = new Set(
  'alias break case const continue continuing default diagnostic else enable fn for if let loop override return struct switch var while'.split(
    ' ',
  ),
);
const TYPE = /^(?:bool|f16|f32|i32|u32|vec[234][fhiu]?|mat[234]x[234][fh]?|array|atomic|ptr|Value|Cell)$/;

/** Colours words, numbers and comments; knows no grammar. `depth`: comments inside comments. */
const wgsl: StreamParser<{ depth: number }> = {
  name: 'wgsl',
  startState: () => ({ depth: 0 }),
  token(stream, state) {
    if (state.depth === 0) {
      if (stream.eatSpace()) return null;
      if (stream.match('//')) {
        stream.skipToEnd();
        return 'comment';
      }
    }
    if (stream.match('/*')) state.depth += 1;
    else if (state.depth > 0) {
      if (stream.match('*/')) state.depth -= 1;
      else stream.next();
      return 'comment';
    }
    if (state.depth > 0) return 'comment';
    if (stream.match(/^(?:0x[\da-f.]+(?:p[+-]?\d+)?|\d*\.?\d+(?:e[+-]?\d+)?\.?)[fhiu]?/i)) return 'number';
    if (stream.match(/^@\w+/)) return 'meta';
    const [word] = (stream.match(/^[A-Za-z_]\w*/) as RegExpMatchArray | null) ?? [];
    if (word === undefined) {
      stream.next();
      return null;
    }
    if (KEYWORDS.has(word)) return 'keyword';
    if (word === 'true' || word === 'false') return 'atom';
    if (TYPE.test(word)) return 'typeName';
    if (/^[A-Z][A-Z\d_]*$/.test(word)) return 'constant';
    return stream.peek() === '(' ? 'function' : null;
  },
  languageData: { commentTokens: { line: '//' }, closeBrackets: { brackets: ['(', '[', '{'] } },
  tokenTable: {
    constant: tags.constant(tags.variableName),
    function: tags.function(tags.variableName),
  },
};

/** Colours of the page, so that its themes are the editor's. */
const COLOURS = HighlightStyle.define([
  { tag: tags.comment, color: 'var(--soft)' },
  { tag: tags.keyword, color: 'var(--accent)' },
  { tag: [tags.number, tags.atom], color: 'var(--sat-ink)' },
  { tag: tags.typeName, color: 'var(--native)' },
  { tag: tags.constant(tags.variableName), color: 'var(--broken)' },
  { tag: tags.function(tags.variableName), fontWeight: '600' },
  { tag: tags.meta, color: 'var(--soft)' },
]);

const LOOK = EditorView.theme({
  '&': { height: '100%', color: 'var(--ink)', backgroundColor: 'var(--panel)', fontSize: '13px' },
  '&.cm-focused': { outline: '2px solid var(--accent)', outlineOffset: '-1px' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55' },
  '.cm-gutters': {
    color: 'var(--soft)',
    backgroundColor: 'var(--panel)',
    borderRight: '1px solid var(--line)',
  },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '.cm-activeLine': { backgroundColor: 'color-mix(in srgb, var(--chip) 55%, transparent)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    background: 'color-mix(in srgb, var(--accent) 24%, transparent)',
  },
  '&.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--chip)', outline: '1px solid var(--line)' },
  '.cm-tooltip': {
    color: 'var(--ink)',
    backgroundColor: 'var(--panel)',
    border: '1px solid var(--line)',
    borderRadius: '6px',
  },
  '.cm-diagnostic-error': { borderLeftColor: 'var(--broken)' },
  '.cm-lintRange-error': {
    background: 'transparent',
    textDecoration: 'underline wavy var(--broken) 1.5px',
    textUnderlineOffset: '3px',
  },
  '.cm-lint-marker-error': {
    content: '""',
    width: '8px',
    height: '8px',
    margin: '6px 3px 0',
    borderRadius: '50%',
    background: 'var(--broken)',
  },
});

export type Editor = {
  readonly setText: (text: string) => void;
  /** Marks lines; none takes all marks away. */
  readonly mark: (complaints: readonly Complaint[]) => void;
  /** Puts the cursor there. */
  readonly goTo: (complaint: Complaint) => void;
  readonly destroy: () => void;
};

/** Where in the text a complaint is about. */
function spanOf(doc: Text, { line: number, column, length }: Complaint): { from: number; to: number } {
  const line = doc.line(Math.min(Math.max(1, number), doc.lines));
  const from = Math.min(line.from + Math.max(0, column - 1), line.to);
  const to = Math.min(from + Math.max(1, length), doc.length);
  // At the end of a line there is nothing to underline but what is before.
  return from === line.to && from > line.from ? { from: from - 1, to: from } : { from, to };
}

/** An editor inside `parent`. `onRun`: Ctrl or Cmd with Enter. Tab indents; Escape and then Tab leaves. */
export function mountEditor(
  parent: HTMLElement,
  {
    text,
    label,
    onChange,
    onRun,
  }: {
    readonly text: string;
    readonly label: string;
    readonly onChange: (text: string) => void;
    readonly onRun: () => void;
  },
): Editor {
  let isSetting = false;
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(),
        lintGutter(),
        history(),
        drawSelection(),
        highlightActiveLine(),
        bracketMatching(),
        indentUnit.of('  '),
        StreamLanguage.define(wgsl),
        syntaxHighlighting(COLOURS),
        LOOK,
        EditorView.contentAttributes.of({
          'aria-label': label,
          'aria-description': 'Tab indents; Escape, then Tab, leaves',
          spellcheck: 'false',
          tabindex: '0',
        }),
        keymap.of([
          {
            key: 'Mod-Enter',
            run: () => {
              onRun();
              return true;
            },
          },
          ...defaultKeymap,
          ...historyKeymap,
          indentWithTab,
        ]),
        EditorView.updateListener.of(({ docChanged, state }) => {
          if (docChanged && !isSetting) onChange(state.doc.toString());
        }),
      ],
    }),
  });
  return {
    setText: (next) => {
      if (next === view.state.doc.toString()) return;
      isSetting = true;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next } });
      isSetting = false;
    },
    mark: (complaints) => {
      const { doc } = view.state;
      const marks = complaints.map((one) => ({
        ...spanOf(doc, one),
        severity: 'error' as const,
        message: one.message,
      }));
      view.dispatch(
        setDiagnostics(
          view.state,
          marks.toSorted((a, b) => a.from - b.from),
        ),
      );
    },
    goTo: (complaint) => {
      const { from } = spanOf(view.state.doc, complaint);
      view.dispatch({ selection: { anchor: from }, scrollIntoView: true });
      view.focus();
    },
    destroy: () => view.destroy(),
  };
}
