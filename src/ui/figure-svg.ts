// A figure of the page as a file that looks the same elsewhere: what stands in the document, read with its computed
// styles and written as plain SVG without style sheets, variables or HTML, for Inkscape and Word as for browsers.
import { rgb } from 'd3-color';

const SVG = 'http://www.w3.org/2000/svg';
const PAD = 16;
const TITLE = { size: 15, height: 28 } as const;
const CAPTION = { size: 11, height: 15 } as const;

/** Headings, which the title stands for, tables, controls, and what is told of the mark. */
const NOT_DRAWN =
  'h2, h3, figcaption, table, details, select, input, textarea, button.quiet, label:has(> input), [role="radiogroup"], [aria-live]';

/** Properties that SVG inherits, and the others, with what they are when nobody says. */
const INHERITED = [
  'stroke-width',
  'stroke-dasharray',
  'stroke-linecap',
  'stroke-linejoin',
  'font-family',
  'font-size',
  'font-weight',
  'font-style',
  'text-anchor',
  'paint-order',
] as const;
const NOT_INHERITED = { opacity: '1', 'dominant-baseline': 'auto' } as const;

type Attributes = Readonly<Record<string, string | number>>;

function make(name: string, attributes: Attributes = {}, text?: string): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

/**
 * A computed colour as `#rrggbb` and its opacity; null where it is none. Mixed colours are computed to
 * `color(srgb r g b / a)`, which only browsers know.
 */
export function plainColor(computed: string): { readonly color: string; readonly opacity: number } | null {
  const mixed = /^color\(srgb ([\d.e+-]+) ([\d.e+-]+) ([\d.e+-]+)(?: \/ ([\d.e+-]+))?\)$/.exec(computed);
  const [red = 0, green = 0, blue = 0] = mixed?.slice(1, 4).map((part) => 255 * Number(part)) ?? [];
  const found = mixed ? rgb(red, green, blue, Number(mixed[4] ?? 1)) : rgb(computed);
  if (found.opacity === 0) return { color: '#000000', opacity: 0 };
  if (Number.isNaN(found.r)) return null;
  return { color: found.copy({ opacity: 1 }).formatHex(), opacity: Math.round(1000 * found.opacity) / 1000 };
}

/** Colour and opacity as attributes of `what`. */
function paint(what: 'fill' | 'stroke', computed: string, more = 1): Attributes {
  const plain = plainColor(computed);
  if (!plain) return { [what]: computed };
  const opacity = plain.opacity * more;
  return { [what]: plain.color, ...(opacity < 1 ? { [`${what}-opacity`]: opacity } : {}) };
}

/** Elements that are not painted themselves. */
const GROUPS = new Set(['svg', 'g', 'clipPath', 'defs', 'title']);

/** Writes the computed style of `original` onto `copy`, as far as it is not its parent's. */
function inline(original: Element, copy: Element, isRoot: boolean): void {
  const style = getComputedStyle(original);
  const parent = isRoot || !original.parentElement ? null : getComputedStyle(original.parentElement);
  for (const { name } of Array.from(copy.attributes))
    if (/^(class|style|role|tabindex|aria-|data-)/.test(name)) copy.removeAttribute(name);
  const write = (attributes: Attributes): void => {
    for (const [name, value] of Object.entries(attributes)) copy.setAttribute(name, String(value));
  };
  for (const what of ['fill', 'stroke'] as const) {
    copy.removeAttribute(what);
    copy.removeAttribute(`${what}-opacity`);
    const more = Number(style.getPropertyValue(`${what}-opacity`));
    if (!GROUPS.has(original.tagName)) write(paint(what, style.getPropertyValue(what), more));
  }
  for (const name of INHERITED) {
    const value = style.getPropertyValue(name);
    if (value === parent?.getPropertyValue(name)) copy.removeAttribute(name);
    else write({ [name]: value });
  }
  for (const [name, initial] of Object.entries(NOT_INHERITED)) {
    const value = style.getPropertyValue(name);
    if (value !== initial) write({ [name]: value });
  }
  for (const [index, child] of Array.from(original.children).entries()) {
    const twin = copy.children[index];
    if (twin && child.tagName !== 'title') inline(child, twin, false);
  }
}

let measuring: CanvasRenderingContext2D | null = null;
function measure(text: string, font: string): TextMetrics | null {
  measuring ??= document.createElement('canvas').getContext('2d');
  if (!measuring) return null;
  measuring.font = font;
  return measuring.measureText(text);
}

/** The lines that `text` takes in `width` pixels. */
function wrapped(text: string, width: number, font: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line ? `${line} ${word}` : word;
    if (line && (measure(longer, font)?.width ?? 0) > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}

/** Pieces of a text node that stand on one line each, with their place on the screen. */
function linesOf(node: Text): { readonly text: string; readonly box: DOMRect }[] {
  const range = document.createRange();
  const pieces: { text: string; box: DOMRect }[] = [];
  for (const { 0: word, index } of node.data.matchAll(/\S+\s*/g)) {
    range.setStart(node, index);
    range.setEnd(node, index + word.length);
    const box = range.getClientRects()[0];
    if (!box) continue;
    const last = pieces.at(-1);
    if (last && Math.abs(last.box.top - box.top) < 2) {
      last.box = new DOMRect(last.box.x, last.box.y, box.right - last.box.x, last.box.height);
      last.text += word;
    } else pieces.push({ text: word, box });
  }
  return pieces;
}

/** Draws what stands in an element of HTML; places are on the screen. */
class Drawing {
  readonly root = make('g');
  /** What is drawn lies in here. */
  box: DOMRect | null = null;
  private gradients = 0;

  private reach({ left, top, right, bottom }: DOMRect): void {
    const [x, y] = [Math.min(left, this.box?.left ?? left), Math.min(top, this.box?.top ?? top)];
    const [farX, farY] = [
      Math.max(right, this.box?.right ?? right),
      Math.max(bottom, this.box?.bottom ?? bottom),
    ];
    this.box = new DOMRect(x, y, farX - x, farY - y);
  }

  draw(element: Element, into: SVGElement = this.root): void {
    if (element.matches(NOT_DRAWN)) return;
    const style = getComputedStyle(element);
    const opacity = Number(style.opacity);
    if (element.getClientRects().length === 0 || style.visibility === 'hidden' || opacity === 0) return;
    const box = element.getBoundingClientRect();
    let place = into;
    if (opacity < 1) {
      place = make('g', { opacity });
      into.append(place);
    }
    if (element instanceof SVGSVGElement) return this.copy(element, box, place);
    if (element instanceof HTMLCanvasElement) return this.image(element, box, style, place);
    this.background(box, style, place);
    for (const node of element.childNodes) {
      if (node instanceof Text) this.text(node, style, place);
      else if (node instanceof Element) this.draw(node, place);
    }
  }

  private copy(element: SVGSVGElement, box: DOMRect, into: SVGElement): void {
    const { x, y, width, height } = box;
    const copy = element.cloneNode(true) as SVGSVGElement;
    inline(element, copy, true);
    for (const [name, value] of Object.entries({ x, y, width, height }))
      copy.setAttribute(name, String(value));
    into.append(copy);
    this.reach(box);
  }

  /** A canvas with the pixels it has. */
  private image(canvas: HTMLCanvasElement, box: DOMRect, style: CSSStyleDeclaration, into: SVGElement): void {
    if (canvas.width === 0 || canvas.height === 0) return;
    const { x, y, width, height } = box;
    const href = canvas.toDataURL('image/png');
    const image = make('image', { x, y, width, height, href, preserveAspectRatio: 'none' });
    // Older readers know the other spelling only.
    image.setAttributeNS('http://www.w3.org/1999/xlink', 'xlink:href', href);
    if (style.imageRendering !== 'auto') {
      image.setAttribute('image-rendering', 'optimizeSpeed');
      image.setAttribute('style', 'image-rendering: pixelated');
    }
    into.append(image);
    this.reach(box);
  }

  private background(box: DOMRect, style: CSSStyleDeclaration, into: SVGElement): void {
    const { x, y, width, height } = box;
    if (width === 0 || height === 0) return;
    const rx = Math.min(Number.parseFloat(style.borderTopLeftRadius) || 0, width / 2, height / 2);
    const corner = style.borderTopLeftRadius.endsWith('%') ? Math.min(width, height) / 2 : rx;
    const place = { x, y, width, height, ...(corner > 0 ? { rx: corner } : {}) };
    const colors = style.backgroundImage.match(/(?:rgba?|color)\([^)]*\)/g);
    if (style.backgroundImage.startsWith('linear-gradient(90deg') && colors) {
      const id = `gradient-${(this.gradients += 1)}`;
      const gradient = make('linearGradient', { id });
      for (const [i, color] of colors.entries()) {
        const { color: plain = color } = plainColor(color) ?? {};
        gradient.append(make('stop', { offset: i / (colors.length - 1), 'stop-color': plain }));
      }
      into.append(gradient, make('rect', { ...place, fill: `url(#${id})` }));
      this.reach(box);
    } else if (plainColor(style.backgroundColor)?.opacity) {
      into.append(make('rect', { ...place, ...paint('fill', style.backgroundColor) }));
      this.reach(box);
    }
    const line = Number.parseFloat(style.borderTopWidth);
    const hasBox = line > 0 && Number.parseFloat(style.borderLeftWidth) > 0;
    if (hasBox && plainColor(style.borderTopColor)?.opacity)
      into.append(
        make('rect', {
          ...place,
          fill: 'none',
          'stroke-width': line,
          ...paint('stroke', style.borderTopColor),
        }),
      );
  }

  private text(node: Text, style: CSSStyleDeclaration, into: SVGElement): void {
    const { fontStyle, fontWeight, fontSize, fontFamily, textAlign } = style;
    for (const { text, box } of linesOf(node)) {
      const isRight = ['right', 'end'].includes(textAlign) && text === text.trimEnd();
      if (box.width === 0) continue;
      this.reach(box);
      const metrics = measure(text, `${fontStyle} ${fontWeight} ${fontSize} ${fontFamily}`);
      const { fontBoundingBoxAscent: up = 3, fontBoundingBoxDescent: down = 1 } = metrics ?? {};
      into.append(
        make(
          'text',
          {
            x: isRight ? box.right : box.left,
            y: box.top + (box.height * up) / (up + down),
            'font-family': fontFamily,
            'font-size': fontSize,
            'font-weight': fontWeight,
            ...(fontStyle === 'normal' ? {} : { 'font-style': fontStyle }),
            ...(isRight ? { 'text-anchor': 'end' } : {}),
            ...paint('fill', style.color),
          },
          text.trimEnd(),
        ),
      );
    }
  }
}

export type FigureWords = { readonly title: string; readonly caption: string };

/** The element as it stands on the page, under its title and over its caption. Sizes in CSS pixels. */
export function figureSvg(
  element: HTMLElement,
  { title, caption }: FigureWords,
): { readonly svg: string; readonly width: number; readonly height: number } {
  const drawing = new Drawing();
  drawing.draw(element);
  const box = drawing.box ?? element.getBoundingClientRect();
  drawing.root.setAttribute('transform', `translate(${PAD - box.left},${PAD + TITLE.height - box.top})`);
  const page = getComputedStyle(document.documentElement);
  const { color, fontFamily } = getComputedStyle(element);
  const ink = plainColor(color)?.color ?? color;
  const soft = page.getPropertyValue('--soft').trim() || ink;
  const font = `${CAPTION.size}px ${fontFamily}`;
  const lines = wrapped(caption, box.width, font);
  const width = Math.ceil(box.width + 2 * PAD);
  const height = Math.ceil(box.height + 2 * PAD + TITLE.height + 8 + lines.length * CAPTION.height);
  const root = make('svg', { width, height, viewBox: `0 0 ${width} ${height}`, 'font-family': fontFamily });
  root.append(
    make('title', {}, title),
    make('desc', {}, caption),
    make('rect', { width, height, ...paint('fill', page.backgroundColor) }),
    make(
      'text',
      { x: PAD, y: PAD + TITLE.size, 'font-size': TITLE.size, 'font-weight': 600, fill: ink },
      title,
    ),
    drawing.root,
    ...lines.map((line, i) =>
      make(
        'text',
        {
          x: PAD,
          y: height - PAD - (lines.length - 1 - i) * CAPTION.height,
          'font-size': CAPTION.size,
          fill: soft,
        },
        line,
      ),
    ),
  );
  return { svg: new XMLSerializer().serializeToString(root), width, height };
}

/** The figure as PNG, `scale` pixels a CSS pixel. */
export async function figurePng(
  { svg, width, height }: ReturnType<typeof figureSvg>,
  scale = 2,
): Promise<Uint8Array> {
  const image = new Image(width, height);
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/png'));
  return new Uint8Array((await blob?.arrayBuffer()) ?? []);
}
