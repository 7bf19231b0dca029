// Mobius's npm client behind a pipe: a line of JSON for each call, and a line for what came of it.

import { createInterface } from "node:readline";
import { Client, parseWebhookDelivery, verifySignedDeliveryBytes } from "@deepnoodle/mobius";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const given = JSON.parse((await lines.next()).value);
const client = new Client({
  apiKey: given.api_key,
  baseURL: given.base_url,
  project: given.project,
  retry: given.retry,
});

async function watch(run, { since = 0 } = {}) {
  const events = [];
  for await (const event of client.watchRun(run, { since })) {
    events.push({ sequence: event.sequence, event_type: event.event_type });
  }
  return events;
}

const calls = {
  create_loop: ([name, spec]) => client.createLoop({ name, spec }),
  get_loop: ([loop]) => client.getLoop(loop),
  list_loops: (_, asked) => client.listLoops(asked),
  update_loop: ([loop], changes) => client.updateLoop(loop, changes),
  delete_loop: ([loop]) => client.deleteLoop(loop),
  start_run: ([loop], { idempotency_key, ...start }) => client.startRun(loop, { idempotencyKey: idempotency_key, ...start }),
  list_runs: (_, asked) => client.listRuns(asked),
  get_run: ([run]) => client.getRun(run),
  cancel_run: ([run, reason]) => client.cancelRun(run, reason),
  signal_run: ([run, step, result]) => client.signalRun(run, step, result),
  watch_run: ([run], options) => watch(run, options),
  wait_run: ([run]) => client.waitRun(run, { reconnectDelayMs: 200, signal: AbortSignal.timeout(60000) }),
  list_action_invocations: (_, asked) =>
    client.listActionInvocations({ ...asked, runId: asked.run_id, actionName: asked.action_name }),
  create_project: (_, { adopt = false, external_ref, ...fields }) =>
    client.createProject(fields, { adoptExisting: adopt, externalRef: external_ref }),
  list_principals: (_, asked) => client.listPrincipals({ ...asked, includeDisabled: asked.include_disabled }),
  create_principal: (_, fields) => client.createPrincipal(fields),
  get_principal: ([principal]) => client.getPrincipal(principal),
  update_principal: ([principal], changes) => client.updatePrincipal(principal, changes),
  delete_principal: ([principal]) => client.deletePrincipal(principal),
  verify: async ([headers, body, key]) =>
    parseWebhookDelivery(
      await verifySignedDeliveryBytes(Buffer.from(body), headers, { key: Buffer.from(key, "base64") }),
    ),
};

function told(error) {
  const { status, code, details, requestId, retryAfter } = error;
  return { type: error.name, message: error.message, status, code, details, request_id: requestId, retry_after: retryAfter };
}

for await (const line of { [Symbol.asyncIterator]: () => lines }) {
  const { name, args, options } = JSON.parse(line);
  let outcome;
  try {
    outcome = { value: (await calls[name](args, options)) ?? null };
  } catch (error) {
    outcome = { error: told(error) };
  }
  process.stdout.write(JSON.stringify(outcome) + "\n");
}
