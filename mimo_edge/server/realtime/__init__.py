"""`WS /v1/realtime`: live conversations in OpenAI's Realtime protocol.

connection       one websocket: messages, time, limits (`outbox`: what waits to be sent)
session          what happens, as pure logic over the sides below
  client_events  what may come in, `server_events` what goes out
  settings       what is in effect (`session_parameters`: what may be asked for)
  input_side     the user's sound (`pcm`) and turns (`turn_detection`)
  items          what was said, by both (`contents`, `item_reading`)
  output_side    answers on their way (`response`, `pacing`)
  planning       what the next answer is to be made of
model_threads    the model (`model_port`: what a session wants of it; `plan`: the prompt)
"""

from .connection import routes

__all__ = ["routes"]
