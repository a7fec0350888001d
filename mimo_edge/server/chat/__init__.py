"""`POST /v1/chat/completions`: the whole conversation comes along with every request.

`parameters` says what may be asked for, `turns` makes the model's turns of the messages
(`recordings` hears what is in them, `answers` knows the spoken answers that the model gave),
`conversations` keeps what was computed between requests, `answering` makes the answer, and
`records` tells it as OpenAI does.
"""

from .endpoint import endpoints

__all__ = ["endpoints"]
