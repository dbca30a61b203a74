/** What tabs and workers tell each other: that something changed, never what it says about a patient. */
export type News =
  | { kind: "changed"; study: string }
  | { kind: "progress"; study: string; bytes: number; rate: number | null }
  | { kind: "line"; online: boolean }
  | { kind: "wiped" }
  | { kind: "locked"; locked: boolean }
  | { kind: "removed" };

const NAME = "relaypacs";

export class Channel {
  private readonly port = new BroadcastChannel(NAME);

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
