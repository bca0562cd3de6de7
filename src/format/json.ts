// JSON from strangers: bounded in bytes, in depth and in values, and no key twice in one object.

export type JsonLimits = {
  readonly maxBytes: number;
  readonly maxDepth?: number;
  readonly maxValues?: number;
};

/** Index of the quote that closes the string opened just before `at`. */
function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text[end - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return end;
  }
  throw new SyntaxError('a string has no end');
}

/** Looks at brackets, keys and commas only: everything else is left to JSON.parse. */
function scan(text: string, maxDepth: number, maxValues: number): void {
  const open: (Set<string> | null)[] = [];
  let values = 1;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') {
      const end = endOfString(text, at + 1);
      let next = end + 1;
      while (text.charCodeAt(next) <= 0x20) next++;
      const keys = open.at(-1);
      if (keys && text[next] === ':') {
        const raw = text.slice(at + 1, end);
        const key = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
        if (keys.has(key)) throw new SyntaxError(`key "${key.slice(0, 200)}" stands twice in one object`);
        keys.add(key);
      }
      at = end;
    } else if (char === '{' || char === '[') {
      open.push(char === '{' ? new Set() : null);
      if (open.length > maxDepth) throw new SyntaxError(`it is nested deeper than ${maxDepth} levels`);
      values++;
    } else if (char === '}' || char === ']') {
      open.pop();
    } else if (char === ',') {
      values++;
    }
    if (values > maxValues) throw new SyntaxError(`it holds more than ${maxValues} values`);
  }
}

/**
 * The value of `bytes`, UTF-8 JSON without a byte order mark.
 * Throws SyntaxError or TypeError with the reason, in time linear in the length.
 */
export function parseStrictJson(
  bytes: Uint8Array,
  { maxBytes, maxDepth = 64, maxValues = 4_000_000 }: JsonLimits,
): unknown {
  if (bytes.byteLength > maxBytes) {
    throw new SyntaxError(`its ${bytes.byteLength} bytes are over the limit of ${maxBytes}`);
  }
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  scan(text, maxDepth, maxValues);
  return JSON.parse(text);
}

/** A plain object whose every value is text: valibot's record takes arrays, and looks away from "__proto__". */
export const isTextMap = (value: unknown): value is Record<string, string> =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  Object.values(value).every((text) => typeof text === 'string');
