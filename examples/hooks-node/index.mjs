// An application function with all hooks. On AWS it is a Lambda function like any other; on a laptop:
//
//   bellhop dev --hook publish=examples/hooks-node --hook join=examples/hooks-node --hook action=examples/hooks-node
import { messages, save } from "./database.mjs";

/** The one entry: a question in, an answer out. An error that is thrown here is never shown to a client. */
export async function handler(question) {
  const answer = hooks[question.hook];
  return answer ? answer(question) : {};
}

const hooks = {
  // The client publishes, and what it says is in the application's database before anybody hears of it.
  publish({ id, room, event, user, data, time }) {
    if (event !== "message:new") return {};
    if (!id) return { deny: { code: "bad_request", message: "messages need an id" } };
    if (!data?.content?.trim()) return { deny: { code: "bad_request", message: "an empty message" } };
    const message = save(id, { room, author: user.id, content: data.content.trim(), time });
    return { data: { content: message.content } };
  },

  // The application knows who belongs where. Grants of the token are not needed then.
  join({ room, user, granted }) {
    if (room.startsWith("channel:private-")) {
      const members = { "channel:private-1": ["ana", "bob"] };
      if (!members[room]?.includes(user.id)) return { deny: { message: "You are not a member of this channel." } };
      return { allow: true, data: { topic: "only for members" } };
    }
    return granted ? {} : { deny: { message: "You may not join this room." } };
  },

  connect({ user }) {
    return { rooms: ["channel:announcements"], grants: user.id === "admin" ? { "*": ["join", "publish", "moderate"] } : {} };
  },

  disconnect({ user, connection }) {
    console.log("disconnected", user.id, connection);
    return {};
  },

  // A call of the application's own: client.call("message:count", { room })
  action({ action, room }) {
    if (action !== "message:count") return { deny: { code: "unknown_action", message: `there is no action "${action}"` } };
    return { data: { count: Object.values(messages()).filter((m) => m.room === room).length } };
  },
};
