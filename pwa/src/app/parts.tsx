/** The few parts that every screen is made of. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { arrive, entitle } from "./arrival";

const PATHS = {
  back: "M15 5l-7 7 7 7",
  check: "M5 12.5l4.5 4.5L19 7.5",
  clock: "M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  down: "M12 4v10M7.5 10 12 14.5 16.5 10M5 19h14",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  up: "M12 19V6M6 11.5 12 5.5l6 6",
  pause: "M9 6v12M15 6v12",
  warn: "M12 8v5M12 16.5v.1M12 3.5 2.5 20h19z",
  stop: "M7 7l10 10M17 7 7 17",
  gear: "M4 7h9M17 7h3M4 17h3M11 17h9M13 4.5v5M7.5 14.5v5",
  folder: "M3.5 18V6.5h6l2 2.5h9v9z",
  file: "M6 3.5h8l4 4v13H6zM14 3.5v4h4",
  inbox: "M4 13.5h4l1.5 2.5h5l1.5-2.5h4M4 13.5v5h16v-5M4 13.5 6.5 6h11L20 13.5",
  qr: "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2v2M20 14v2M14 20h2M18.5 18.5H20V20",
  save: "M12 4v11M7 10.5l5 5 5-5M5 20h14",
  again: "M19.5 12a7.5 7.5 0 1 1-2.3-5.4M19.5 4v4h-4",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.6-5.7l-1 1M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.6 5.7l1-1",
  hand: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 7.5v5.5M12 16.3v.1",
} as const;
export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Mark(): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 64 64" aria-hidden="true">
      <rect width="64" height="64" rx="15" />
      <path d="M17 40a15 15 0 0 1 15-15h13M37.5 16.5l8.5 8.5-8.5 8.5" />
      <circle cx="17" cy="46" r="4.5" />
    </svg>
  );
}

interface ButtonProps {
  kind?: "main" | "plain" | "quiet" | "danger";
  icon?: IconName;
  type?: "button" | "submit";
  disabled?: boolean;
  /** Where the text alone doesn't say of what. */
  label?: string;
  onClick?: () => void;
  children: ComponentChildren;
}

export function Button({
  kind = "plain",
  icon,
  type = "button",
  disabled = false,
  label,
  onClick,
  children,
}: ButtonProps): JSX.Element {
  return (
    <button
      type={type}
      disabled={disabled}
      class={`button ${kind}`}
      {...(label && { "aria-label": label })}
      {...(onClick && { onClick })}
    >
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

export function Field({ label, children }: { label: string; children: ComponentChildren }): JSX.Element {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: its control is among the children
    <label class="field">
      <span>{label}</span>
      {children}
    </label>
  );
}

export function Notice({
  kind,
  children,
}: {
  kind: "info" | "warn" | "bad" | "good";
  children: ComponentChildren;
}): JSX.Element {
  return (
    <div class={`notice ${kind}`} role={kind === "bad" ? "alert" : "status"}>
      <Icon name={kind === "good" ? "check" : kind === "info" ? "hand" : "warn"} />
      <div>{children}</div>
    </div>
  );
}

/** A screen's heading: where whoever comes to the screen begins. @param title of the window, in which nobody is named */
export function Heading({
  title,
  as: Level = "h1",
  id,
  children,
}: {
  title?: string;
  as?: "h1" | "h2";
  id?: string;
  children: ComponentChildren;
}): JSX.Element {
  const place = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (title !== undefined) entitle(title);
  }, [title]);
  useEffect(() => arrive(place.current), []);
  return (
    <Level ref={place} tabIndex={-1} {...(id && { id })}>
      {children}
    </Level>
  );
}

/** One of a few, all seen at once. */
export function OneOf<T extends string>({
  legend,
  name,
  value,
  options,
  onPick,
}: {
  legend: string;
  name: string;
  value: T;
  options: readonly { value: T; label: string }[];
  onPick: (value: T) => void;
}): JSX.Element {
  return (
    <fieldset class="choice">
      <legend>{legend}</legend>
      <div class={options.length === 4 ? "four" : ""}>
        {options.map((one) => (
          <label key={one.value}>
            <input type="radio" name={name} checked={one.value === value} onChange={() => onPick(one.value)} />
            <span>{one.label}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** A word beside a name, and apart from it for those who listen or copy. */
export function Tag({ kind, children }: { kind?: string; children: ComponentChildren }): JSX.Element {
  return (
    <>
      {" "}
      <span class={`tag ${kind ?? ""}`}>{children}</span>
    </>
  );
}

const GLIDES_LEAST_MS = 300;
const GLIDES_MOST_MS = 8_000;
/** Over its whole length it glides for so long at least: a large piece that comes right behind a small one is no jump. */
const WHOLE_MS = 2_500;
/** By so much of its length at a time: a step for each frame would cost a browser more than all the rest of its page. */
const GLIDES_BY = 0.015;
const STEPS_MS = { least: 16, most: 100 };

/**
 * How far it is. What the gateway acknowledges comes in pieces: the bar glides to it for as long as the piece before it
 * took, and longer where much comes at once, so that it moves evenly and is never ahead of what is known.
 */
export function Bar({ part, label }: { part: number; label: string }): JSX.Element {
  const bar = useRef<HTMLProgressElement>(null);
  const changedAt = useRef(0);
  /** What it shows just now: Preact takes its value away at each rendering that names none. */
  const shown = useRef(part);
  useLayoutEffect(() => {
    const now = performance.now();
    const at = changedAt.current;
    const from = shown.current;
    const takes = Math.min(GLIDES_MOST_MS, Math.max(GLIDES_LEAST_MS, now - at, (part - from) * WHOLE_MS));
    const show = (value: number): void => {
      shown.current = value;
      if (bar.current) bar.current.value = value;
    };
    changedAt.current = now;
    if (!at || part <= from || matchMedia("(prefers-reduced-motion: reduce)").matches) return show(part);
    const every = Math.min(STEPS_MS.most, Math.max(STEPS_MS.least, (takes * GLIDES_BY) / (part - from)));
    const timer = setInterval(() => {
      const gone = Math.min(1, (performance.now() - now) / takes);
      show(from + (part - from) * gone);
      if (gone === 1) clearInterval(timer);
    }, every);
    return () => clearInterval(timer);
  }, [part]);
  return <progress ref={bar} max={1} value={shown.current} aria-label={label} />;
}

/** A code as the gateway writes it: where a line is too short for it, it breaks between its words. */
export function Codeword({ text }: { text: string }): JSX.Element {
  const end = text.indexOf("_") + 1;
  if (end === 0) return <>{text}</>;
  return (
    <>
      {text.slice(0, end)}
      <wbr />
      <Codeword text={text.slice(end)} />
    </>
  );
}

/** Asked before something that can't be taken back. */
export function Ask({
  title,
  text,
  yes,
  no,
  onYes,
  onNo,
}: {
  title: string;
  text: ComponentChildren;
  yes: string;
  no: string;
  onYes: () => void;
  onNo: () => void;
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-labelledby="ask" onClose={onNo}>
      <h2 id="ask">{title}</h2>
      <p>{text}</p>
      <div class="row end">
        <Button onClick={onNo}>{no}</Button>
        <Button kind="danger" onClick={onYes}>
          {yes}
        </Button>
      </div>
    </dialog>
  );
}

/** A telephone number can be tapped; anything else is read. */
export function Contact({ text }: { text: string }): JSX.Element {
  return /^[+\d][\d\s()/.-]{4,}$/.test(text) ? (
    <a href={`tel:${text.replace(/[^+\d]/g, "")}`}>{text}</a>
  ) : (
    <bdi>{text}</bdi>
  );
}

/** A sentence with a part in it that is more than text: the part takes the place of `{slot}`. */
export function Slot({
  text,
  slot,
  children,
}: {
  text: string;
  slot: string;
  children: ComponentChildren;
}): JSX.Element {
  const [before, after] = text.split(`{${slot}}`);
  return (
    <>
      {before}
      {after === undefined ? null : children}
      {after}
    </>
  );
}

/** The same, where the rest of the sentence is only for those who listen. */
export function Aloud({
  text,
  slot,
  children,
}: {
  text: string;
  slot: string;
  children: ComponentChildren;
}): JSX.Element {
  const [before, after] = text.split(`{${slot}}`);
  return (
    <>
      {before && <span class="aloud">{before}</span>}
      {children}
      {after && <span class="aloud">{after}</span>}
    </>
  );
}
