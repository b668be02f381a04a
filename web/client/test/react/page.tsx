import { act, StrictMode, type ReactNode } from "react";
import { createRoot, hydrateRoot, type Root } from "react-dom/client";
import { BellhopProvider } from "../../src/react/index.js";
import type { ConnectOptions } from "../../src/transport.js";
import { LossyBellhop, LossySocketIO, type Losses } from "../losses.js";
import { overSocketIO } from "../socketio.js";
import type { World } from "./world.js";

const open = new Set<Page>();

/** Unmounts what a test has left mounted. */
export async function closePages(): Promise<void> {
  for (const page of open) await page.close();
}

/** One tab of a browser. */
export class Page {
  readonly element = document.createElement("div");
  #root: Root | undefined;

  constructor() {
    document.body.append(this.element);
    open.add(this);
  }

  get text(): string {
    return this.element.textContent ?? "";
  }

  async show(node: ReactNode): Promise<void> {
    await acting(() => (this.#root ??= createRoot(this.element)).render(node));
  }

  /** Takes over what a server has rendered. */
  async hydrate(html: string, node: ReactNode): Promise<void> {
    this.element.innerHTML = html;
    await acting(() => void (this.#root = hydrateRoot(this.element, node)));
  }

  async close(): Promise<void> {
    open.delete(this);
    await acting(() => this.#root?.unmount());
    this.element.remove();
  }
}

/** Runs what changes the tree, and all its effects. What the network brings is rendered as in a browser, without this. */
export async function acting(change: () => unknown): Promise<void> {
  const flag = globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean };
  flag.IS_REACT_ACT_ENVIRONMENT = true;
  try {
    await act(async () => void (await change()));
  } finally {
    flag.IS_REACT_ACT_ENVIRONMENT = false;
  }
}

/** A component that calls a hook, and what the hook gave it last. */
export interface Watched<T> {
  readonly now: T;
  /** Everything that it gave, in order. */
  readonly all: readonly T[];
  readonly node: ReactNode;
}

export function watch<T>(use: () => T): Watched<T> {
  const all: T[] = [];
  const Watcher = () => {
    all.push(use());
    return null;
  };
  return {
    all,
    get node() {
      return <Watcher />; // another element, so that it renders again
    },
    get now() {
      return all[all.length - 1] as T;
    },
  };
}

/** A tab of a user's, in StrictMode, with a component for the hook. */
export class Tab<T> extends Page {
  readonly hook: Watched<T>;
  /** What goes wrong on the way to the server and back, if a test says so. */
  readonly losses: Losses = { actions: false, replies: false };

  private constructor(
    readonly world: World,
    readonly user: string,
    readonly grants: Record<string, string[]> | undefined,
    use: () => T,
  ) {
    super();
    this.hook = watch(use);
  }

  static async open<T>(world: World, user: string, use: () => T, grants?: Record<string, string[]>): Promise<Tab<T>> {
    const tab = new Tab(world, user, grants, use);
    await tab.render();
    return tab;
  }

  /** Renders it, or renders it again. */
  async render(): Promise<void> {
    const { world, user, grants } = this;
    await this.show(
      <StrictMode>
        <BellhopProvider
          url={world.ws}
          token={() => world.token(user, grants && { grants })}
          options={{ ...this.#over, publishTimeout: 1_200, replyTimeout: 300, maxDelay: 200 }}
        >
          {this.hook.node}
        </BellhopProvider>
      </StrictMode>,
    );
  }

  get #over(): Partial<ConnectOptions> {
    const { losses } = this;
    if (process.env.OVER !== "socket.io") return { WebSocket: class extends LossyBellhop { override readonly losses = losses; } };
    return { transport: overSocketIO, WebSocket: class extends LossySocketIO { override readonly losses = losses; } };
  }

  /** What the hook gives now. */
  get now(): T {
    return this.hook.now;
  }

  /** Ends the user's connections as a network does: they come back by themselves. */
  async cut(): Promise<void> {
    await this.world.cut(this.user);
  }
}
