import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, test, vi } from "vitest";
import { bestEffort, createEmitter, http, type EmitError } from "../../src/server/index.js";
import { startBellhop } from "../emulator.js";

async function listen(server: Server): Promise<string> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("an action that is done goes on where nobody answers, or nobody is there, and hears why within its time", async () => {
  const silent = createServer(() => {});
  const endpoint = await listen(silent);
  const said: [string, string][] = [];
  const report = ({ code }: EmitError, helper: string) => void said.push([helper, code]);
  const began = performance.now();
  const hung = await bestEffort(createEmitter(http({ endpoint })), { within: 200, report }).newMessage(7, { id: 1, content: "hi" });
  expect(performance.now() - began).toBeLessThan(1_500);
  expect(hung).toMatchObject({ results: [], error: { code: "timeout", retry: true } });
  silent.closeAllConnections();
  await new Promise((done) => silent.close(done));

  const gone = await bestEffort(createEmitter(http({ endpoint, delay: 1 })), { report }).newNotification([7, "ana"], { title: "Hi" });
  expect(gone).toMatchObject({ id: expect.any(String), error: { code: "network" } });
  expect(said).toEqual([["newMessage", "timeout"], ["newNotification", "network"]]);
});

test("what works is as without it, and what is wrong in the program is said in the log", async () => {
  const bellhop = await startBellhop("--memory");
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  try {
    const events = bestEffort(createEmitter(http({ endpoint: bellhop.http })));
    expect(await events.newMessage(7, { id: 1, content: "hi" }, { from: { userId: 3, name: null } })).toMatchObject({ id: "1", results: [{ seq: 1 }] });
    expect((await events.messageDeleted(7, 1)).error).toBeUndefined();
    expect((await events.presenceChanged(9, { userId: 3, status: "away" })).error).toBeUndefined();
    expect(log).not.toHaveBeenCalled();
    const old = events.newMessage as unknown as (io: unknown, channelId: number, message: object) => ReturnType<typeof events.newMessage>;
    expect((await old(undefined, 7, { content: "hi" })).error?.code).toBe("bad_request");
    const inform = events.newNotification as unknown as (io: unknown, userId: string, row: object) => ReturnType<typeof events.newMessage>;
    expect((await inform(undefined, "ana", { title: "Hi" })).error?.code).toBe("bad_request");
    expect(log.mock.calls.map(([line]) => String(line))).toEqual([
      expect.stringMatching(/newMessage.*without io/), expect.stringMatching(/newNotification.*target/),
    ]);
  } finally {
    log.mockRestore();
    await bellhop.end();
  }
});
