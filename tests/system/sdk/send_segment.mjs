// Makes calls with @segment/analytics-node as an application would, and prints what it had to say.
// The job and the report are those of tests/support/sdk_calls.py.

import { Analytics } from "@segment/analytics-node";

import { readJob } from "./job.mjs";

const job = await readJob();
const errors = [];
const analytics = new Analytics({ writeKey: job.write_key, host: job.url, ...job.options });
analytics.on("error", (error) => errors.push(`${error.code}: ${error.reason}`));

const sent = job.calls.map(
  ({ type, ...fields }) =>
    new Promise((resolve) => {
      analytics[type](fields, (_, context) => resolve(context.event.messageId));
    }),
);
await analytics.closeAndFlush();
const ids = await Promise.all(sent);
console.log(JSON.stringify({ message_ids: ids, errors, logged: job.logged }));
