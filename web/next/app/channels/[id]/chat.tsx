"use client";
import { useRef } from "react";
import { sendMessage } from "@/app/actions";
import type { MessageRow } from "@/db";
import { useChatSocket } from "@/lib/socket/client";
import { Message } from "./message";

export function Chat({ channelId, initialMessages, user }: { channelId: number; initialMessages: MessageRow[]; user: { id: string; name: string } }) {
  const { messages: newMessages, typingUsers, sendTyping, stopTyping, isConnected } = useChatSocket(channelId);
  const messages = [...initialMessages, ...newMessages];
  const form = useRef<HTMLFormElement>(null);
  const send = async (data: FormData) => {
    await sendMessage(channelId, String(data.get("content")));
    stopTyping(user.id);
    form.current?.reset();
  };
  return (
    <section data-connected={isConnected}>
      <ul>
        {messages.map((message) => (
          <Message key={message.id} {...message} />
        ))}
      </ul>
      <p role="status">{typingUsers.map(({ userName }) => `${userName} is typing`).join(", ")}</p>
      <form ref={form} action={send}>
        <input name="content" aria-label="Message" onChange={() => sendTyping(user.id, user.name)} />
        <button>Send</button>
      </form>
    </section>
  );
}
