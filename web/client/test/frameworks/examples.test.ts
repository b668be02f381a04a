import { createRequire } from "node:module";
import { flushSync, mount, unmount } from "svelte";
import { createApp } from "vue";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import SvelteChat from "../../../../examples/svelte/Chat.svelte";
import VueChat from "../../../../examples/vue/Chat.vue";
import { startBellhop, until, type Bellhop } from "../emulator.js";

let bellhop: Bellhop;
beforeAll(async () => {
  vi.stubGlobal("WebSocket", createRequire(import.meta.url)("ws")); // as an import it would be the one for browsers, which is none
  bellhop = await startBellhop("--memory");
});
afterAll(() => bellhop.end());

interface Props {
  url: string;
  token: () => Promise<string>;
  channel: string;
}

const frameworks: Record<string, (target: Element, props: Props) => () => unknown> = {
  Vue(target, props) {
    const app = createApp(VueChat, { ...props });
    app.mount(target);
    return () => app.unmount();
  },
  Svelte(target, props) {
    const app = mount(SvelteChat, { target, props });
    flushSync();
    return () => unmount(app);
  },
};

for (const [name, show] of Object.entries(frameworks)) {
  test(`the example for ${name} chats, and closes its connection when it goes`, async () => {
    const channel = name.toLowerCase();
    const pages = ["ana", "bob"].map((user) => {
      const element = document.body.appendChild(document.createElement("main"));
      return { element, hide: show(element, { url: bellhop.ws, token: async () => bellhop.token(user, { name: user.toUpperCase() }), channel }) };
    });
    const [ana, bob] = pages as [typeof pages[0], typeof pages[0]];
    await until(() => pages.every(({ element }) => element.textContent!.includes("Connected")), "connections");
    const input = ana!.element.querySelector("input")!;
    input.value = "hello";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    ana!.element.querySelector("form")!.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
    await until(() => pages.every(({ element }) => element.querySelector("li")?.textContent === "ANA: hello"), "message");
    expect(input.value).toBe("");
    const { id } = (await bellhop.command({ command: "history", room: `channel:${channel}` })).data.events[0];
    await bellhop.command({ command: "publish", rooms: [`channel:${channel}`], event: "message:deleted", data: { messageId: id } });
    await until(() => bob!.element.querySelectorAll("li").length === 0, "deletion");
    for (const { hide } of pages) await hide();
    await until(async () => (await bellhop.connections()).length === 0, "end of the connections");
  });
}
