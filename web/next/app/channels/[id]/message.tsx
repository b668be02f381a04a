import { deleteMessage, editMessage } from "@/app/actions";
import type { MessageRow } from "@/db";

export function Message({ id, channelId, content, userName, createdAt, editedAt }: MessageRow) {
  return (
    <li>
      <b>{userName}</b> <span>{content}</span> {editedAt && <i>edited</i>} <time>{new Date(createdAt).toISOString().slice(0, 10)}</time>
      <button onClick={() => void editMessage(channelId, id, `${content}!`)}>Edit</button>
      <button onClick={() => void deleteMessage(channelId, id)}>Delete</button>
    </li>
  );
}
