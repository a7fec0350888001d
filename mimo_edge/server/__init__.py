"""A speech server on this machine that other programs know how to talk to.

`app` puts it together. Every request passes `safety` first; `requests` reads what it holds, and
`sharing` says when its turn with the model comes. What is answered has a room each: `transcribing`,
`speaking`, `voices`, `chat`, `realtime`, `wyoming`, `page`. Needs the extra `mimo-edge[server]`.
"""
