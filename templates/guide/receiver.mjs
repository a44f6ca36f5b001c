// A receiver without any packages: CALAPP_SECRET=whsec_… PORT=4000 node receiver.mjs
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const secret = process.env.CALAPP_SECRET;
const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret);

function same(given, expected) {
  const [one, other] = [Buffer.from(given), Buffer.from(expected)];
  return one.length === other.length && timingSafeEqual(one, other);
}

function isSigned(headers, body) {
  const stamp = headers["webhook-timestamp"] ?? "";
  if (!(Math.abs(Date.now() / 1000 - Number(stamp)) <= 300)) return false;
  const hmac = createHmac("sha256", key).update(`${headers["webhook-id"]}.${stamp}.`).update(body);
  const expected = "v1," + hmac.digest("base64");
  return (headers["webhook-signature"] ?? "").split(" ").some((one) => same(one, expected));
}

// To check only X-Cal-Signature-256: the hex HMAC of the body with the secret as it is.
export function isSignedAsByCalCom(headers, body) {
  return same(headers["x-cal-signature-256"] ?? "", createHmac("sha256", secret).update(body).digest("hex"));
}

createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts); // the raw bytes
  if (!isSigned(request.headers, body)) return response.writeHead(400).end("The signature is wrong.\n");
  const event = JSON.parse(body);
  console.log(event.triggerEvent, event.payload.metadata.user_id);
  response.writeHead(204).end();
}).listen(process.env.PORT);
