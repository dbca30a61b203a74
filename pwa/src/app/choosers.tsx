/** The system's choosers: of files, and of a folder where the browser has one. */
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { fromInput } from "../ingest/files";
import type { Picked } from "../ingest/look";

interface Choosers {
  files: () => void;
  /** null: this browser has none. */
  folder: (() => void) | null;
  /** To be put somewhere into the page; nobody sees them. */
  inputs: JSX.Element;
}

export function useChoosers(chosen: (files: Picked[]) => void): Choosers {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const folders = "webkitdirectory" in HTMLInputElement.prototype;
  const take = ({ currentTarget }: { currentTarget: HTMLInputElement }): void => chosen(fromInput(currentTarget));
  return {
    files: () => files.current?.click(),
    folder: folders ? () => folder.current?.click() : null,
    inputs: (
      <>
        <input ref={files} hidden type="file" multiple onChange={take} />
        {folders && <input ref={folder} hidden type="file" multiple {...{ webkitdirectory: true }} onChange={take} />}
      </>
    ),
  };
}
