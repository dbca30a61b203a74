/** Parcels on their way, several at once: as many as help, and as there is room for. */
import { holdForFile, lookForRoom, roomForFiles } from "./connections";
import type { Lanes } from "./lanes";
import type { Parcel } from "./parcels";

/** What has come meanwhile is looked for again after so many times as long as the looking took. */
const RESTS = 10;

export interface Course {
  /** What else goes, once it is known. */
  rest: Promise<readonly Parcel[]> | undefined;
  /** What else can go by now. */
  more: () => Promise<readonly Parcel[]>;
  /** Whether there can be more. */
  lasts: () => boolean;
  /** @returns when it has ended, well or not; never throws */
  send: (parcel: Parcel) => Promise<void>;
  /** One was begun. @param next will be begun when as many more have ended as are under way */
  begun: (next: Parcel | undefined) => void;
  lanes: Lanes;
  /** How many may be on their way just now; at 0 none more is begun. */
  most: () => number;
  /** `most` may be another number. */
  changed: AbortSignal;
}

/** Until all have ended that were begun, and there is no more to begin, or nothing is to be. */
export function several(first: readonly Parcel[], course: Course): Promise<void> {
  return new Promise((done) => new Several([...first], course, done).begin());
}

class Several {
  private next = 0;
  private busy = 0;
  private awaited = false;
  private over = false;
  private notBefore = 0;
  private unlook = (): void => undefined;
  private unwatch = (): void => undefined;

  constructor(
    private readonly parcels: Parcel[],
    private readonly course: Course,
    private readonly done: () => void,
  ) {}

  begin(): void {
    const { course } = this;
    if (course.rest) void this.add(course.rest); // before anybody looks: there may be nothing else yet
    this.unlook = lookForRoom(() => this.look());
    this.unwatch = course.lanes.watch(
      () => this.busy,
      () => this.tick(),
    );
    course.changed.addEventListener("abort", () => this.look(), { once: true });
    this.look();
  }

  private look(): void {
    if (this.over) return;
    const { begun, lasts, most } = this.course;
    for (let one = this.due(); one && this.busy < most() && roomForFiles(this.busy) > 0; one = this.due()) {
      this.next += 1;
      this.busy += 1;
      begun(this.parcels[this.next + most() - 1]);
      void this.send(one);
    }
    const goesOn = this.due() !== undefined || this.awaited || (this.busy > 0 && lasts());
    if (goesOn && most() > 0) return;
    this.unlook();
    if (this.busy > 0) return;
    this.unwatch();
    this.over = true;
    this.done();
  }

  private due(): Parcel | undefined {
    return this.parcels[this.next];
  }

  private async send(one: Parcel): Promise<void> {
    const end = holdForFile();
    await this.course.send(one);
    this.busy -= 1;
    end();
    this.look();
  }

  private tick(): void {
    this.look();
    const { lasts, more, most } = this.course;
    const now = performance.now();
    if (this.over || this.awaited || this.due() || this.busy >= most() || !lasts() || now < this.notBefore) return;
    void this.add(more()).then(() => (this.notBefore = performance.now() + RESTS * (performance.now() - now)));
  }

  private async add(asked: Promise<readonly Parcel[]>): Promise<void> {
    this.awaited = true;
    this.parcels.push(...(await asked));
    this.awaited = false;
    this.look();
  }
}
