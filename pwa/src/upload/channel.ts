/** What tabs and workers tell each other: that something changed, never what it says about a patient. */
export type News =
  | { kind: "changed"; study: string }
  | { kind: "progress"; study: string; bytes: number; rate: number | null }
  | { kind: "line"; online: boolean }
  | { kind: "wiped" }
  | { kind: "locked"; locked: boolean }
  | { kind: "removed" };

const NAME = "relaypacs";

/** Opened when it is first used: a browser without it has to come so far that it can be said. */
export class Channel {
  private opened: BroadcastChannel | null = null;

  private get port(): BroadcastChannel {
    this.opened ??= new BroadcastChannel(NAME);
    return this.opened;
  }

  tell(news: News): void {
    this.port.postMessage(news);
  }

  listen(hear: (news: News) => void): () => void {
    const on = (event: MessageEvent<News>): void => hear(event.data);
    this.port.addEventListener("message", on);
    return () => this.port.removeEventListener("message", on);
  }

  close(): void {
    this.port.close();
  }
}
