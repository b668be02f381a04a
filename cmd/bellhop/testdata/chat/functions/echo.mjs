// Posts back what it was sent, with what it knows of its environment.
export async function handler(event) {
  const { apiId, stage, connectionId } = event.requestContext;
  const url = `https://${apiId}.execute-api.${process.env.AWS_REGION}.amazonaws.com/${stage}/@connections/${encodeURIComponent(connectionId)}`;
  const body = JSON.stringify({ echo: event.body, greeting: process.env.GREETING, queue: process.env.QUEUE_URL });
  const answer = await fetch(url, { method: "POST", body });
  if (!answer.ok) throw new Error(`post: ${answer.status}`);
  return { statusCode: 200 };
}
