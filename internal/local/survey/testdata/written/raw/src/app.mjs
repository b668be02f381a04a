export const handler = async ({ body, requestContext: { routeKey, domainName, stage, connectionId } }) => {
  if (routeKey !== "sendmessage") return { statusCode: 200, body };
  const url = `https://${domainName}/${stage}/@connections/${encodeURIComponent(connectionId)}`;
  const posted = await fetch(url, { method: "POST", body: JSON.parse(body).data });
  return { statusCode: posted.status };
};
