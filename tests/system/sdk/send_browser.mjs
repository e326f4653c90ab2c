// Makes calls with @segment/analytics-next in the page of a browser (jsdom, with its CORS and its
// preflights, on a host that is not the gateway's), and prints what there was to say. A call is an
// array: the method, then its arguments.

import { readFileSync } from "node:fs";
import { JSDOM, VirtualConsole } from "jsdom";

import { readJob } from "./job.mjs";

const job = await readJob();
const virtualConsole = new VirtualConsole();
for (const event of ["warn", "error", "jsdomError"]) {
  virtualConsole.on(event, (...args) => job.logged.push(args.map(String).join(" ")));
}
const { window } = new JSDOM("<!doctype html><title>Prices</title>", {
  url: "http://shop.example/prices?utm_source=mail&utm_campaign=spring",
  referrer: "http://search.example/",
  runScripts: "outside-only",
  virtualConsole,
});

// The SDK's promises resolve before its batches are answered: watch the requests themselves.
const errors = [];
const answered = new Set();
let noticeAnswer = () => {};
const { send } = window.XMLHttpRequest.prototype;
window.XMLHttpRequest.prototype.send = function (body) {
  this.addEventListener("loadend", () => {
    if (this.status !== 200) {
      errors.push(`${this.status} ${this.responseURL}`);
    }
    const sent = body ? JSON.parse(body) : {};
    for (const { messageId } of sent.batch ?? [sent]) {
      answered.add(messageId);
    }
    noticeAnswer();
  });
  return send.call(this, body);
};

const bundle = new URL("node_modules/@segment/analytics-next/dist/umd/index.js", import.meta.url);
window.eval(readFileSync(bundle, "utf8"));
const settings = { writeKey: job.write_key, cdnURL: job.url };
const ids = [];
try {
  const [analytics] = await window.AnalyticsNext.AnalyticsBrowser.load(settings, job.options);
  for (const [method, ...args] of job.calls) {
    const context = await analytics[method](...args);
    ids.push(context.event.messageId);
  }
} catch (error) {
  errors.push(String(error));
}
while (!ids.every((id) => answered.has(id))) {
  await new Promise((resolve) => {
    noticeAnswer = resolve;
  });
}
window.close();
console.log(JSON.stringify({ message_ids: ids, errors, logged: job.logged }));
