// What a program has to write, and what it may leave out, by the types made from the document.
import type { paths } from "./api.js";

type Body<Path extends keyof paths, Method extends keyof paths[Path]> = paths[Path][Method] extends {
  requestBody?: { content: { "application/json": infer Sent } };
}
  ? Sent
  : never;

export const wish: Body<"/v2/bookings", "post"> = {
  start: "2027-01-05T10:00:00Z",
  eventTypeId: 1,
  attendee: { name: "Ada Byron", email: "ada@example.com", timeZone: "Europe/London" },
  metadata: { user_id: "123" },
};
export const webhook: Body<"/v2/webhooks", "post"> = {
  subscriberUrl: "https://example.com/hook",
  triggers: ["BOOKING_CREATED"],
};
export const kind: Body<"/v2/event-types", "post"> = { title: "Talk", slug: "talk", lengthInMinutes: 30 };
export const change: Body<"/v2/event-types/{eventTypeId}", "patch"> = { lengthInMinutes: 45 };
// @ts-expect-error A text is no length.
export const wrong: Body<"/v2/event-types", "post"> = { title: "Talk", slug: "talk", lengthInMinutes: "30" };

type Answer = paths["/v2/bookings"]["post"]["responses"][201]["content"]["application/json"];
export const uid = (answer: Answer): string => answer.data.uid;
