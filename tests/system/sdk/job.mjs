// What the senders have in common.

const logged = [];
for (const level of ["warn", "error"]) {
  console[level] = (...args) => logged.push(args.map(String).join(" "));
}

// Reads the job from standard input; `logged` gets what the SDK warns of from now on.
export async function readJob() {
  let text = "";
  for await (const chunk of process.stdin) {
    text += chunk;
  }
  const job = JSON.parse(text, (_, value) => (value?.$time ? new Date(value.$time) : value));
  return { ...job, logged };
}
