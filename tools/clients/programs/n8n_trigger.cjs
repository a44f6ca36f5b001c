// Run n8n's Cal.com trigger as n8n does: activate, activate again, receive, deactivate.
const { readFileSync } = require("node:fs");

const given = JSON.parse(readFileSync(0, "utf8"));
const { CalTriggerV2 } = require(`${given.package}/dist/nodes/Cal/v2/CalTriggerV2.node.js`);
const { CalApi } = require(`${given.package}/dist/credentials/CalApi.credentials.js`);

const kept = given.kept;
const credentials = { apiKey: given.key, host: given.address };
const authorization = new CalApi().authenticate.properties.headers.Authorization;
const parameters = { events: given.events, options: given.options };

async function httpRequestWithAuthentication(_name, { baseURL, method, body, qs, url, headers }) {
  const query = qs ? `?${new URLSearchParams(qs)}` : "";
  const answer = await fetch(baseURL + url + query, {
    method,
    headers: {
      "content-type": "application/json",
      authorization: authorization.slice(1).replace("{{ $credentials.apiKey }}", credentials.apiKey),
      ...headers,
    },
    body: method === "GET" ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

let status = 200;
const response = { status: (code) => ((status = code), response), send: () => response, end: () => response };
const received = given.received ?? { body: "", headers: {} };
const self = {
  getNode: () => ({}),
  getNodeWebhookUrl: () => given.webhookUrl,
  getNodeParameter: (name) => parameters[name],
  getWorkflowStaticData: () => kept,
  getCredentials: async () => credentials,
  getRequestObject: () => ({
    body: received.body ? JSON.parse(received.body) : {},
    rawBody: Buffer.from(received.body),
    header: (name) => received.headers[name],
  }),
  getResponseObject: () => response,
  helpers: { httpRequestWithAuthentication, returnJsonArray: (one) => [{ json: one }] },
};

const node = new CalTriggerV2({});
const { checkExists, create, delete: remove } = node.webhookMethods.default;
const steps = {
  options: () => node.methods.loadOptions.getEventTypes.call(self),
  exists: () => checkExists.call(self),
  create: () => create.call(self),
  delete: () => remove.call(self),
  webhook: async () => ({ ...(await node.webhook.call(self)), status }),
};

(async () => {
  const results = {};
  for (const step of given.steps) results[step] = await steps[step]();
  console.log(JSON.stringify({ results, kept }));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
