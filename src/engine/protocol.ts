// Everything that crosses the worker, and nothing else. A call names a method of Engine; what cannot be cloned
// (an AbortSignal, callbacks) crosses as messages of its own.
import type { ProblemData } from '../problem.ts';
import type { Engine } from './api.ts';

export type Method = keyof Engine;

export type Command =
  | {
      readonly type: 'call';
      readonly id: number;
      readonly method: Method;
      readonly args: readonly unknown[];
      readonly callbacks: readonly string[];
    }
  | { readonly type: 'abort'; readonly id: number };

export type Reply =
  | { readonly type: 'result'; readonly id: number; readonly value: unknown }
  | {
      readonly type: 'callback';
      readonly id: number;
      readonly name: string;
      readonly args: readonly unknown[];
    }
  | { readonly type: 'aborted'; readonly id: number }
  | { readonly type: 'problem'; readonly id: number; readonly problem: ProblemData };

/** Either end of a worker or a MessageChannel. */
export type Port<Out, In> = {
  postMessage(message: Out, transfer?: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<In>) => void): void;
};
