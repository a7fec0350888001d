"""A client of a server that answers speech: OpenAI's Realtime API, as GA servers speak it.

`RemoteModel` stands where a model of this machine would stand in a conversation. Nothing here runs
a model, so that a small machine can talk with a large one.
"""
