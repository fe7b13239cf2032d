// Announces something to the clients of siomesh, wherever they are connected, from a program that holds none of them:
//
//   node announce.js --nats nats://127.0.0.1:4222 [--namespace /] [--room ROOM] [--file FILE] [--ack] TEXT
//
// They get the event "announcement" with the text and the file, if there is one, as a Buffer; with --ack they are waited for.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { connect, ErrorCode, JSONCodec } from "nats";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    nats: { type: "string", default: "nats://127.0.0.1:4222" },
    namespace: { type: "string", default: "/" },
    room: { type: "string" },
    file: { type: "string" },
    ack: { type: "boolean", default: false },
  },
});
const nats = await connect({ servers: values.nats, name: "api-node" });
const { decode, encode } = JSONCodec();

// What the API refuses is { error: { code, message } }.
async function api(verb, request) {
  const reply = await nats.request(`sio.v1.api.${verb}`, encode(request), { timeout: 5000 }); // the API itself gives up after 4 s
  const { error, ...result } = decode(reply.data);
  if (error) throw Object.assign(new Error(error.message), { code: error.code });
  return result;
}

const binary = (buffer) => ({ $binary: buffer.toString("base64") });

try {
  const to = { namespace: values.namespace }; // everybody there
  if (values.room !== undefined) to.rooms = [values.room];
  const { count } = await api("count", to);
  const args = [positionals.join(" ")];
  if (values.file) args.push({ name: basename(values.file), data: binary(await readFile(values.file)) });
  const { replies } = await api("emit", { ...to, event: "announcement", args, ack: values.ack });
  console.log(`announced to ${count} clients`);
  for (const { id, reply } of replies ?? []) console.log(`${id} answers ${JSON.stringify(reply)}`);
} catch (err) {
  console.error(err.code === ErrorCode.NoResponders ? "nobody serves the API" : `${err.code}: ${err.message}`);
  process.exitCode = 1;
} finally {
  await nats.close();
}
