import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { TypingSignal, Typists } from "../../src/react/typing.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

function signals(sends = () => true) {
  const start = Date.now();
  const sent: string[] = [];
  const typing = new TypingSignal((event) => {
    if (sends()) sent.push(`${event.slice("typing:".length)} at ${Date.now() - start}`);
    return sends();
  });
  return { typing, sent };
}

test("25 seconds of typing send one signal in ten seconds, and one three seconds after the last key", () => {
  const { typing, sent } = signals();
  for (let i = 0; i < 250; i++) {
    typing.touch();
    vi.advanceTimersByTime(100);
  }
  vi.runAllTimers();
  expect(sent).toEqual(["start at 0", "start at 10000", "start at 20000", "stop at 27900"]);
});

test("timers that each key sets and none clears do not interrupt it", () => {
  const { typing, sent } = signals();
  for (let i = 0; i < 40; i++) {
    typing.touch();
    setTimeout(() => typing.stop(), 3_000);
    vi.advanceTimersByTime(200);
  }
  vi.runAllTimers();
  expect(sent).toEqual(["start at 0", "stop at 9000"]);
});

test("who stops and begins again at once is announced when it is time", () => {
  const { typing, sent } = signals();
  typing.touch();
  vi.advanceTimersByTime(500);
  typing.stop();
  typing.stop();
  vi.advanceTimersByTime(500);
  typing.touch();
  typing.touch();
  vi.advanceTimersByTime(2_000);
  expect(sent).toEqual(["start at 0"]); // a key has followed
  typing.stop();
  vi.advanceTimersByTime(1_000);
  typing.touch();
  typing.touch();
  expect(sent).toEqual(["start at 0", "stop at 4000", "start at 4000"]);
  typing.end();
  typing.touch();
  vi.advanceTimersByTime(1_000);
  typing.touch();
  vi.advanceTimersByTime(1_999);
  expect(sent).toHaveLength(4);
  vi.advanceTimersByTime(1);
  expect(sent.slice(3)).toEqual(["stop at 4000", "start at 7000"]);
  typing.end();
});

test("who stops again before that is not announced", () => {
  const { typing, sent } = signals();
  typing.touch();
  typing.end();
  typing.touch();
  typing.stop();
  vi.runAllTimers();
  expect(sent).toEqual(["start at 0", "stop at 0"]);
});

test("a message ends typing without a signal, and the next one begins at once", () => {
  const { typing, sent } = signals();
  typing.touch();
  typing.sent();
  typing.stop();
  vi.advanceTimersByTime(1_000);
  typing.touch();
  expect(sent).toEqual(["start at 0", "start at 1000"]);
  typing.sent();
});

test("a signal that could not be sent does not count", () => {
  let connected = false;
  const { typing, sent } = signals(() => connected);
  typing.touch();
  vi.advanceTimersByTime(100);
  connected = true;
  typing.touch();
  expect(sent).toEqual(["start at 100"]);
  vi.runAllTimers();
  expect(sent).toEqual(["start at 100", "stop at 3100"]);
});

test("others type until the time that they gave, in the order in which they began", () => {
  let changes = 0;
  const typists = new Typists(() => changes++);
  const names = () => typists.users.map(({ userName }) => userName);
  typists.add({ userId: "ana", name: "Ana" }, Date.now() + 4_000);
  vi.advanceTimersByTime(1_000);
  typists.add({ userId: "bob" }, Date.now() + 4_000);
  expect(names()).toEqual(["Ana", "bob"]);
  vi.advanceTimersByTime(2_000);
  const before = typists.users;
  typists.add({ userId: "ana", name: "Ana" }, Date.now() + 4_000); // still typing
  expect(typists.users).toBe(before);
  vi.advanceTimersByTime(2_000);
  expect(names()).toEqual(["Ana"]);
  vi.advanceTimersByTime(2_000);
  expect(names()).toEqual([]);
  expect(changes).toBe(4);
});

test.each([
  ["an hour ahead", 3_600_000, 14_000],
  ["an hour behind", -3_600_000, 1_000],
  ["of no sense", NaN, 1_000],
])("a clock %s shows typing for a few seconds nevertheless", (_, until, lasts) => {
  const typists = new Typists(() => {});
  typists.add({ userId: "ana" }, Date.now() + until);
  vi.advanceTimersByTime(lasts - 1);
  expect(typists.users).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(typists.users).toHaveLength(0);
});
