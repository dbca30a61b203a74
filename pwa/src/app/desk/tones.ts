/** How each state of an upload at the gateway looks. */
import type { IconName } from "../parts";
import type { UploadState } from "./gateway";

export const TONE: Readonly<Record<UploadState, { tone: string; icon: IconName }>> = {
  open: { tone: "calm", icon: "clock" },
  uploading: { tone: "busy", icon: "up" },
  delivering: { tone: "busy", icon: "inbox" },
  held: { tone: "warn", icon: "hand" },
  success: { tone: "good", icon: "check" },
  partial: { tone: "warn", icon: "warn" },
  failed: { tone: "bad", icon: "warn" },
  cancelled: { tone: "calm", icon: "stop" },
  expired: { tone: "calm", icon: "clock" },
};
