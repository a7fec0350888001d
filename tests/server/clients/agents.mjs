// A conversation with OpenAI's Agents SDK for JavaScript, told as lines of JSON.
//
//     node agents.mjs INSTALLED URL QUESTION.pcm [NEXT.pcm]
//
// INSTALLED is the folder with node_modules. Questions are PCM16 at 24 kHz with silence behind.
// Each but the first is asked while the answer before it is heard: it interrupts.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

const [installed, url, ...files] = process.argv.slice(2);
const from = createRequire(pathToFileURL(join(installed, 'package.json')));
const { RealtimeAgent, RealtimeSession, OpenAIRealtimeWebSocket } = await import(
  pathToFileURL(from.resolve('@openai/agents-realtime'))
);

const tell = (record) => console.log(JSON.stringify(record));
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

const transport = new OpenAIRealtimeWebSocket({ url: `${url}?model=mimo` });
const session = new RealtimeSession(new RealtimeAgent({ name: 'Echo', instructions: '' }), {
  transport,
  model: 'mimo',
});

let bytes = 0; // of sound since the last interruption
let ended; // resolves when an answer was told completely
session.on('audio', (event) => (bytes += event.data.byteLength));
session.on('audio_interrupted', () => tell({ event: 'interrupted', bytes }));
session.on('error', (error) => tell({ event: 'error', error: JSON.stringify(error) }));
session.on('transport_event', (event) => {
  if (event.type === 'session.updated') tell({ event: 'updated' });
  if (event.type === 'response.done') {
    tell({ event: 'done', status: event.response.status });
    if (event.response.status === 'completed') ended();
  }
});

await session.connect({ apiKey: 'nothing', url: `${url}?model=mimo` });

async function say(pcm) {
  // As a microphone does: 100 ms at a time, at the speed of sound.
  for (let at = 0; at < pcm.length; at += 4800) {
    const piece = pcm.subarray(at, at + 4800);
    session.sendAudio(piece.buffer.slice(piece.byteOffset, piece.byteOffset + piece.length));
    await wait(0.1);
  }
}

for (const [index, file] of files.entries()) {
  const answered = new Promise((resolve) => (ended = resolve));
  const before = bytes;
  const speaking = say(readFileSync(file));
  if (index + 1 < files.length) {
    while (bytes < before + 14400) await wait(0.02); // 0.3 s of the answer came
    await speaking;
  } else {
    await Promise.all([speaking, answered]);
  }
}
await wait(0.2);
const said = session.history
  .filter((item) => item.type === 'message')
  .map((item) => ({
    role: item.role,
    status: item.status,
    text: item.content.map((part) => part.transcript ?? part.text ?? '').join(''),
  }));
tell({ event: 'end', bytes, history: said });
session.close();
process.exit(0);
