"""The model for Home Assistant, by the Wyoming protocol: it listens, speaks and answers.

`server` takes the connections, `connection` is one of them, `reading` reads its events within
limits, `messages` checks what is in them. `hearing` is speech to text, `speaking` text to speech,
`conversations` the answers to what was said; `info` tells what there is, `announcing` lets Home
Assistant find it. Needs the extra `mimo-edge[wyoming]`.

In this room `wyoming` is the library: imports of the room's own modules begin with a dot.
"""
