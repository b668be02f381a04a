// The client side of the wire protocol "bellhop.v1": one connection that reconnects by itself, and rooms that lose nothing.

const MAX_FRAME = 32 * 1024; // bytes; the server closes a connection that sends more
const REPLY_WITHIN = 10_000;
const PING_EVERY = 4 * 60_000; // idle connections are closed after ten minutes
const PONG_WITHIN = 5_000;
const BUFFER = 500; // events of one room held back for an earlier one

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// randomUUID is there on https and on localhost only.
export function newID() {
  return crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
}

// Refusal is an error with one of the protocol's codes, or one of this client's own: "disconnected", "timeout".
export class Refusal extends Error {
  constructor({ code, message, retry = false, retryAfterMs }) {
    super(message);
    Object.assign(this, { code, retry, retryAfterMs });
  }
}

// Connection holds one WebSocket open. on.state(state, detail) hears "connecting", "open", "waiting" and "closed";
// on.event(event) hears what belongs to no room; on.error(refusal) hears refusals that answer nothing in particular.
export class Connection {
  #url;
  #token;
  #on;
  #socket = null;
  #waiting = new Map(); // action id → what to do with its reply
  #rooms = new Map();
  #left = Promise.resolve(); // the latest leave
  #attempt = 0;
  #retryTimer = 0;
  #pongTimer = 0;
  #stopped = true;

  // token() gives a fresh token for each attempt; an error of it with the property final ends the attempts.
  constructor({ url, token, on }) {
    this.#url = url;
    this.#token = token;
    this.#on = on;
    setInterval(() => this.#ping(), PING_EVERY);
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  start() {
    this.#stopped = false;
    this.#attempt = 0;
    this.#connect();
  }

  // stop ends the connection for good, because of reason.
  stop(reason) {
    this.#stopped = true;
    clearTimeout(this.#retryTimer);
    this.#socket?.close(1000);
    this.#on.state("closed", reason);
  }

  // room enters a room, on this connection and on all that follow. The one that was entered before by that name is over.
  room(name, on) {
    this.#rooms.get(name)?.abandon();
    const room = new Room(this, name, on);
    this.#rooms.set(name, room);
    if (this.open) this.#left.then(() => room.join()); // the server may run a join before the leave that was sent first
    return room;
  }

  leave(name) {
    this.#rooms.get(name)?.abandon();
    this.#rooms.delete(name);
    if (this.open) this.#left = this.request({ action: "leave", room: name }).catch(() => {});
  }

  // send is for actions without a reply. It says whether the action is on its way.
  send(action) {
    const frame = JSON.stringify(action);
    const size = new TextEncoder().encode(frame).length;
    if (size > MAX_FRAME) {
      throw new Refusal({ code: "too_large", message: `A frame may have ${MAX_FRAME} bytes, this has ${size}.` });
    }
    if (this.open) this.#socket.send(frame);
    return this.open;
  }

  // request resolves to the data of the reply. What the server says may work later is tried three times.
  async request(action) {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#once({ ...action, id: action.id ?? newID() });
      } catch (err) {
        if (!err.retry || tries === 3) throw err;
        await sleep((err.retryAfterMs ?? 500) + Math.random() * 250);
      }
    }
  }

  #once(action) {
    return new Promise((resolve, reject) => {
      if (!this.send(action)) throw new Refusal({ code: "disconnected", message: "There is no connection." });
      const timer = setTimeout(() => {
        this.#waiting.delete(action.id);
        reject(new Refusal({ code: "timeout", message: "The server has not answered." }));
      }, REPLY_WITHIN);
      this.#waiting.set(action.id, { resolve, reject, timer });
    });
  }

  async #connect() {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = 0;
    this.#on.state("connecting");
    let token;
    try {
      token = await this.#token();
    } catch (err) {
      if (!err.final) this.#later();
      else this.stop(err.message);
      return;
    }
    if (this.#stopped) return;
    const socket = new WebSocket(this.#url, ["bellhop.v1", `bearer.${token}`]);
    this.#socket = socket;
    socket.onopen = () => {
      this.#on.state("open");
      for (const room of this.#rooms.values()) room.join();
    };
    socket.onmessage = ({ data }) => data && this.#receive(JSON.parse(data));
    socket.onclose = () => {
      clearTimeout(this.#pongTimer);
      this.#pongTimer = 0;
      for (const { reject, timer } of this.#waiting.values()) {
        clearTimeout(timer);
        reject(new Refusal({ code: "disconnected", message: "The connection was lost." }));
      }
      this.#waiting.clear();
      if (!this.#stopped) this.#later();
    };
  }

  // Full jitter: a thousand clients that lost the same server come back spread out.
  #later() {
    const delay = Math.random() * Math.min(20_000, 500 * 2 ** this.#attempt++);
    this.#on.state("waiting", delay);
    this.#retryTimer = setTimeout(() => this.#connect(), delay);
  }

  #hurry() {
    if (this.#retryTimer) this.#connect();
    else this.#ping();
  }

  // A connection that the network has forgotten looks open. No pong means that it is not.
  #ping() {
    if (!this.open || this.#pongTimer) return;
    const socket = this.#socket;
    this.#pongTimer = setTimeout(() => {
      socket.onclose();
      socket.onclose = socket.onmessage = null;
      socket.close();
    }, PONG_WITHIN);
    this.send({ action: "ping" });
  }

  #receive(frame) {
    if (frame.batch) return frame.batch.forEach((each) => this.#receive(each));
    if (frame.reply !== undefined) return this.#answer(frame);
    if (frame.event === "pong") {
      clearTimeout(this.#pongTimer);
      this.#pongTimer = 0;
    } else if (frame.room) this.#rooms.get(frame.room)?.receive(frame);
    else if (frame.event) this.#on.event(frame);
    else if (frame.message) this.#on.error(new Refusal({ code: "internal", message: frame.message })); // of the gateway itself
  }

  #answer({ reply, ok, data, error }) {
    this.#attempt = 0;
    const waiting = this.#waiting.get(reply);
    const refusal = ok ? null : new Refusal(error);
    // A token that is over is replaced by connecting again, and what was asked for is as good as never sent.
    if (["expired", "unauthenticated"].includes(refusal?.code)) return this.#socket.close(1000);
    if (waiting) {
      this.#waiting.delete(reply);
      clearTimeout(waiting.timer);
      if (ok) waiting.resolve(data);
      else waiting.reject(refusal);
    } else if (!ok) this.#on.error(refusal);
  }
}

// Room is a room that this client is in. It hands on each logged event once and in order: it drops what it has had by
// seq, and on a gap it joins again from its position, which brings what is missing.
//
// on.reload() loads the state when the log cannot tell what was missed, at first and after a long absence. on.event(event)
// hears the events, on.joined({result, again, missed}) the end of each join, on.error(refusal) that it did not work.
export class Room {
  ready = false; // the server takes actions in it
  #connection;
  #on;
  #position = null;
  #held = []; // events that came before their turn
  #joining = false;
  #left = false;
  #asked = 0; // times that the present gap was asked for
  #timer = 0;

  constructor(connection, name, on) {
    this.#connection = connection;
    this.name = name;
    this.#on = on;
  }

  abandon() {
    this.#left = true;
    clearTimeout(this.#timer);
  }

  async join(gap = false) {
    if (this.#joining || this.#left) return;
    this.#joining = true;
    this.ready &&= gap;
    const again = this.#position !== null && !gap;
    let missed = 0;
    try {
      for (let more = true; more; ) {
        const since = this.#position ?? undefined;
        const result = await this.#connection.request({ action: "join", room: this.name, since });
        if (this.#left) return;
        if (!result.recovered) await this.#on.reload();
        if (this.#left) return;
        for (const event of result.events) {
          if (result.recovered && event.seq <= since.seq) continue;
          this.#on.event(event);
          missed++;
        }
        this.#position = { epoch: result.epoch, seq: result.seq };
        more = result.more;
        if (more) continue;
        this.ready = true;
        this.#on.joined({ result, again, missed });
      }
    } catch (err) {
      if (err.code === "timeout") this.#soon(2_000, false);
      else if (err.code !== "disconnected") { // after which the next connection joins again
        this.#held = []; // the next event shows the gap anew
        this.#on.error(err);
      }
    } finally {
      this.#joining = false;
    }
    this.#release();
  }

  receive(event) {
    if (event.event === "room:closed") {
      this.#position = null;
      this.#held = [];
    }
    if (!event.seq) return this.#on.event(event); // ephemeral
    this.#held.push(event);
    if (this.#held.length > BUFFER) this.#held.shift(); // a gap like any other
    if (!this.#joining) this.#release();
  }

  #release() {
    if (!this.#position) return;
    this.#held.sort((a, b) => a.seq - b.seq);
    while (this.#held.length > 0 && this.#held[0].seq <= this.#position.seq + 1) {
      const event = this.#held.shift();
      if (event.seq <= this.#position.seq) continue;
      this.#position.seq = event.seq;
      this.#asked = 0;
      this.#on.event(event);
    }
    // Events that overtake each other close most gaps by themselves. A hole that nobody filled is void after 5 s.
    if (this.#held.length > 0 && !this.#timer) this.#soon(Math.min(200 * 2 ** this.#asked++, 10_000), true);
  }

  #soon(delay, gap) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      if (!gap || this.#held.length > 0) this.join(gap);
    }, delay);
  }
}
