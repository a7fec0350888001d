"""A spoken conversation without a device: who speaks, what is prepared, what was heard.

`Conversation` is pure logic between the ports that `ports` describes. Threads have only
`ModelWorker`, in which the model runs, and `Recording`, because a disk may be slow.
"""
