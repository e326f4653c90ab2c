// Makes calls with @rudderstack/rudder-sdk-node as an application would, and prints what it had to
// say. The job and the report are those of tests/support/sdk_calls.py.

import RudderAnalytics from "@rudderstack/rudder-sdk-node";

import { readJob } from "./job.mjs";

const job = await readJob();
const errors = [];
const analytics = new RudderAnalytics(job.write_key, {
  dataPlaneUrl: job.url,
  errorHandler: (error) => errors.push(String(error)),
  ...job.options,
});

// The SDK tells nobody which ids it makes: note them as the messages enter its queue.
const ids = [];
analytics.queue.push = (item) => {
  ids.push(item.message.messageId);
  return Array.prototype.push.call(analytics.queue, item);
};

const answered = job.calls.map(
  ({ type, ...fields }) => new Promise((resolve) => analytics[type](fields, resolve)),
);
// flush() sends one batch, however many wait.
while (analytics.queue.length > 0) {
  await analytics.flush();
}
await Promise.all(answered);
console.log(JSON.stringify({ message_ids: ids, errors, logged: job.logged }));
