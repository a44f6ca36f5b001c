// Check a delivery, and that a changed one is refused, with standardwebhooks and svix.
import { readFileSync } from "node:fs";
import { Webhook as Standard } from "standardwebhooks";
import { Webhook as Svix } from "svix";

const given = JSON.parse(readFileSync(0, "utf8"));
for (const Kind of [Standard, Svix]) {
  const webhook = new Kind(given.secret);
  webhook.verify(given.body, given.headers);
  let refused = false;
  try {
    webhook.verify(given.body + " ", given.headers);
  } catch {
    refused = true;
  }
  if (!refused) throw new Error("A changed body is taken.");
}
console.log("standardwebhooks and svix take the delivery, and refuse a changed one.");
