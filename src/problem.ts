// The one error that a person is meant to read. It knows no floor: any of them may throw it, and it crosses the
// worker whole as plain data.

/** Everything that can go wrong in the world (not in our code), by name. */
export const PROBLEM_CODES = [
  'no-webgpu',
  'no-adapter',
  'limits-too-small',
  'no-device',
  'device-lost',
  'out-of-memory',
  'shader',
  'own-norm',
  'gpu',
  'network',
  'cross-origin',
  'denied',
  'not-found',
  'disk-full',
  'bad-file',
  'bad-link',
  'other-weights',
  'unsupported',
  'prompt-too-long',
  'onnxruntime',
  'usage',
  'unexpected',
] as const;
export type ProblemCode = (typeof PROBLEM_CODES)[number];

export type ProblemData = {
  readonly code: ProblemCode;
  /** `Cannot <verb> <thing>: <reason>`, names and numbers quoted. */
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
  readonly cause?: string;
};

export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: ProblemCode;
  readonly hint: string;
  constructor(code: ProblemCode, message: string, hint: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.hint = hint;
  }
}

const text = (cause: unknown): string =>
  cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);

/** Any thrown value as plain data; what is no Problem is a mistake of ours and says so. */
export function problemData(thrown: unknown): ProblemData {
  if (thrown instanceof Problem) {
    const { code, message, hint, cause } = thrown;
    return { code, message, hint, ...(cause === undefined ? {} : { cause: text(cause) }) };
  }
  return {
    code: 'unexpected',
    message: text(thrown),
    hint: 'This is a mistake in Normscope, not in what you did. Reload the page; if it comes back, report it with this text.',
  };
}

/** The Problem that `problemData` described on the other side of a worker. */
export function problemFrom({ code, message, hint, cause }: ProblemData): Problem {
  return new Problem(code, message, hint, cause);
}

export const isAbort = (thrown: unknown): boolean =>
  thrown instanceof DOMException && thrown.name === 'AbortError';
