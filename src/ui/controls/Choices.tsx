// Chips to choose of a closed list, and lists of sizes.
import { useState } from 'react';
import type { CSSProperties, ReactNode } from 'react';
import './choices.css';

export function Row({ legend, children }: { readonly legend: string; readonly children: ReactNode }) {
  return (
    <div className="chip-row" role="group" aria-label={legend}>
      <span className="word">{legend}</span>
      <div className="chips">{children}</div>
    </div>
  );
}

/** Toggles over a closed list; at least one stays chosen unless it may be empty. */
export function Choices<T extends string | boolean>({
  legend,
  options,
  chosen,
  color,
  isOne = false,
  mayBeEmpty = false,
  onChange,
  children,
}: {
  readonly legend: string;
  readonly options: readonly (readonly [id: T, label: string, about: string])[];
  readonly chosen: readonly T[];
  readonly color?: (id: T) => string;
  readonly isOne?: boolean;
  readonly mayBeEmpty?: boolean;
  readonly onChange: (chosen: readonly T[]) => void;
  /** More of the same after the chips. */
  readonly children?: ReactNode;
}) {
  const toggle = (id: T): void => {
    if (isOne) return onChange([id]);
    const next = options.map(([other]) => other).filter((o) => (o === id) !== chosen.includes(o));
    if (next.length > 0 || mayBeEmpty) onChange(next);
  };
  return (
    <Row legend={legend}>
      {options.map(([id, label, about]) => (
        <button
          key={String(id)}
          type="button"
          className={`chip ${chosen.includes(id) ? 'on' : ''}`}
          aria-pressed={chosen.includes(id)}
          title={about}
          style={color && ({ '--member': color(id) } as CSSProperties)}
          onClick={() => toggle(id)}
        >
          {color && <i className="dot" aria-hidden />}
          {label}
        </button>
      ))}
      {children}
    </Row>
  );
}

const isSize = (value: number): boolean => Number.isInteger(value) && value >= 1 && value <= 65_536;

/** A list of sizes that can be taken out and added to. */
export function Sizes<T>({
  legend,
  sizes,
  name,
  fields,
  make,
  isAllowed = isSize,
  onChange,
}: {
  readonly legend: string;
  readonly sizes: readonly T[];
  readonly name: (size: T) => string;
  readonly fields: readonly string[];
  readonly make: (numbers: readonly number[]) => T;
  readonly isAllowed?: (value: number) => boolean;
  readonly onChange: (sizes: readonly T[]) => void;
}) {
  const [typed, setTyped] = useState<readonly string[]>(fields.map(() => ''));
  const numbers = typed.map(Number);
  const isGood = numbers.every(isAllowed);
  return (
    <Row legend={legend}>
      {sizes.map((size) => (
        <button
          key={name(size)}
          type="button"
          className="chip on"
          title="Take it out"
          aria-label={`Take out ${name(size)}`}
          onClick={() => sizes.length > 1 && onChange(sizes.filter((other) => name(other) !== name(size)))}
        >
          {name(size)} <span aria-hidden>×</span>
        </button>
      ))}
      <form
        className="chip-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (!isGood) return;
          const size = make(numbers);
          if (!sizes.some((other) => name(other) === name(size))) onChange([...sizes, size]);
          setTyped(fields.map(() => ''));
        }}
      >
        {fields.map((field, index) => (
          <input
            key={field}
            inputMode="decimal"
            aria-label={`${legend}: ${field}`}
            placeholder={field}
            value={typed[index]}
            onChange={(event) =>
              setTyped(
                typed.map((text, i) => (i === index ? event.target.value.replaceAll(/[^\d.]/g, '') : text)),
              )
            }
          />
        ))}
        <button type="submit" className="chip" disabled={!isGood} aria-label={`Add to ${legend}`}>
          +
        </button>
      </form>
    </Row>
  );
}
