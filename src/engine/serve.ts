// The worker's end of the protocol: calls come in, the engine answers.
import { isAbort, problemData } from '../problem.ts';
import type { Engine } from './api.ts';
import type { Command, Port, Reply } from './protocol.ts';

/** Large arrays of a result that can change hands instead of being copied. */
function transferables(value: unknown): Transferable[] {
  const logits = typeof value === 'object' && value !== null && 'logits' in value ? value.logits : undefined;
  return logits instanceof Float32Array && logits.buffer instanceof ArrayBuffer ? [logits.buffer] : [];
}

export function serveEngine(engine: Engine, port: Port<Reply, Command>): void {
  const aborts = new Map<number, AbortController>();

  async function answer({ id, method, args, callbacks }: Extract<Command, { type: 'call' }>): Promise<void> {
    const abort = new AbortController();
    aborts.set(id, abort);
    const forward = Object.fromEntries(
      callbacks.map((name) => [
        name,
        (...values: unknown[]) => port.postMessage({ type: 'callback', id, name, args: values }),
      ]),
    );
    const [options] = args.slice(-1);
    const given = typeof options === 'object' && options !== null && !Array.isArray(options) ? options : {};
    try {
      const call: (...all: unknown[]) => Promise<unknown> = engine[method].bind(engine) as never;
      const value = await call(...args.slice(0, -1), { ...given, ...forward, signal: abort.signal });
      port.postMessage({ type: 'result', id, value }, transferables(value));
    } catch (thrown) {
      if (isAbort(thrown)) port.postMessage({ type: 'aborted', id });
      else port.postMessage({ type: 'problem', id, problem: problemData(thrown) });
    } finally {
      aborts.delete(id);
    }
  }

  port.addEventListener('message', ({ data }) => {
    if (data.type === 'call') void answer(data);
    else aborts.get(data.id)?.abort();
  });
}
