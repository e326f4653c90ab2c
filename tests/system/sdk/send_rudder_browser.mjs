// Makes calls with @rudderstack/analytics-js in the page of a browser (jsdom, with its CORS and its
// preflights, on a host that is not the gateway's), and prints what there was to say. A call is an
// array: the method, then its arguments. The build is the bundled one: the plain one would load
// its parts from the vendor's CDN, and a request to any other host is an error here.

import { readFileSync } from "node:fs";
import { JSDOM, VirtualConsole } from "jsdom";

import { readJob } from "./job.mjs";

const job = await readJob();
const virtualConsole = new VirtualConsole();
for (const event of ["warn", "error", "jsdomError"]) {
  virtualConsole.on(event, (...args) => job.logged.push(args.map(String).join(" ")));
}
const { window } = new JSDOM("<!doctype html><head><title>Prices</title></head>", {
  url: "http://shop.example/prices?utm_source=mail&utm_campaign=spring",
  referrer: "http://search.example/",
  runScripts: "outside-only",
  virtualConsole,
});

Object.assign(window, { TextDecoder, TextEncoder }); // browsers have them, jsdom does not

const errors = [];
const answered = [];
let noticeAnswer = () => {};
const { open, send } = window.XMLHttpRequest.prototype;
window.XMLHttpRequest.prototype.open = function (method, url, ...more) {
  if (!url.startsWith(job.url)) {
    errors.push(`a request to ${url}`);
  }
  return open.call(this, method, url, ...more);
};
window.XMLHttpRequest.prototype.send = function (body) {
  this.addEventListener("loadend", () => {
    if (this.status !== 200) {
      errors.push(`${this.status} ${this.responseURL}`);
    }
    const sent = body ? JSON.parse(body) : { batch: [] };
    answered.push(...(sent.batch ?? [sent]).map(({ messageId }) => messageId));
    noticeAnswer();
  });
  return send.call(this, body);
};

const bundle = new URL(
  "node_modules/@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js",
  import.meta.url,
);
window.eval(readFileSync(bundle, "utf8"));
const analytics = new window.rudderanalytics.RudderAnalytics();
analytics.load(job.write_key, job.url, {
  configUrl: job.url,
  polyfillIfRequired: false,
  ...job.options,
});
for (const [method, ...args] of job.calls) {
  analytics[method](...args);
}
while (answered.length < job.calls.length && errors.length === 0) {
  await new Promise((resolve) => {
    noticeAnswer = resolve;
  });
}
window.close();
console.log(JSON.stringify({ message_ids: answered, errors, logged: job.logged }));
process.exit();
