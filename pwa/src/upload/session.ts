/** The account that is signed in on this device: kept sealed, renewed by whoever needs it, one at a time. */
import type { Queue } from "../queue/db";
import { json, Refused, request } from "./api";
import { askWith, SESSION } from "./wipe";

export interface Session {
  subject: string;
  name: string;
  role: string;
  access: string;
  expires_at: number;
  refresh: string;
}

interface Issued {
  access_token: string;
  expires_in: number;
  refresh_token: string;
}

const EARLY_MS = 60_000;

export async function signIn(queue: Queue, username: string, password: string): Promise<Session> {
  const issued = await json<Issued>("/auth/login", { method: "POST", body: { username, password } });
  return keep(queue, issued, username);
}

export async function storedSession(queue: Queue): Promise<Session | null> {
  return queue.recall<Session>(SESSION);
}

export async function signOut(queue: Queue): Promise<void> {
  const known = await storedSession(queue);
  await queue.forget(SESSION);
  if (known) await request("/auth/logout", { method: "POST", bearer: known.refresh }).catch(() => undefined);
}

/**
 * An access token that lives a while yet.
 * @param subject whose: what one person queued isn't sent in the name of another who signed in later
 * @param bad a token that was just refused
 * @throws Refused 401: sign in again; `device_wipe`: see `wipe.ts`
 */
export async function accessToken(queue: Queue, subject?: string, bad?: string): Promise<string> {
  return navigator.locks.request("session", async () => {
    const known = await storedSession(queue);
    if (!known || (subject !== undefined && known.subject !== subject)) throw new Refused(401, "signed_out");
    if (known.expires_at - EARLY_MS > Date.now() && known.access !== bad) return known.access;
    try {
      const issued = await json<Issued>("/auth/refresh", { method: "POST", bearer: known.refresh });
      return (await keep(queue, issued, known.name)).access;
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401) throw error;
      await askWith("/endpoints", known.access);
      await queue.forget(SESSION);
      throw error;
    }
  });
}

/** Ask something as the account: once more with a new token where the gateway doesn't take the one that we thought good. */
export async function asAccount<T>(queue: Queue, act: (bearer: string) => Promise<T>, subject?: string): Promise<T> {
  const bearer = await accessToken(queue, subject);
  try {
    return await act(bearer);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) throw error;
    return act(await accessToken(queue, subject, bearer));
  }
}

async function keep(queue: Queue, issued: Issued, name: string): Promise<Session> {
  const claims = JSON.parse(atob((issued.access_token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/"))) as {
    sub: string;
    role: string;
  };
  const fresh: Session = {
    subject: `account:${claims.sub}`,
    name,
    role: claims.role,
    access: issued.access_token,
    expires_at: Date.now() + issued.expires_in * 1000,
    refresh: issued.refresh_token,
  };
  await queue.remember(SESSION, fresh);
  return fresh;
}
