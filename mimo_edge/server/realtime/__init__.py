"""`WS /v1/realtime`: live conversations in OpenAI's Realtime protocol.

connection   one websocket: messages, time, limits
session      what happens: pure logic over the three below
  input_side   the user's sound (`pcm`, `turn_detection`)
  items        what was said, by both (`contents`, `item_reading`)
  output_side  answers on their way (`response`, `pacing`)
model_threads  the model (`plan`: from items to a prompt)
settings       of a session (`session_parameters`)
"""

from .connection import routes

__all__ = ["routes"]
