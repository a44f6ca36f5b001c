import { createHmac } from "node:crypto";

const key = process.env.CALAPP_LINK_KEY; // lk_…, as it is

// path is user/slug, exp when the link expires in seconds since 1970, or empty.
export function signedLink(baseUrl, path, metadata, exp = "") {
  const encoded = (name, value) => `${encodeURIComponent(`metadata[${name}]`)}=${encodeURIComponent(value)}`;
  const pairs = Object.entries(metadata).map(([name, value]) => encoded(name, value)).sort();
  const text = `${path}\n${exp}\n${pairs.join("&")}`;
  const signature = createHmac("sha256", key).update(text).digest("hex");
  return `${baseUrl}/${path}?${[...pairs, ...(exp ? [`exp=${exp}`] : []), `sig=${signature}`].join("&")}`;
}
