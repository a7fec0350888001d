"""The conversation through microphone and speaker.

`loop` holds the devices (`microphone`, `speaker`, over `device_stream`, `devices`, `portaudio`)
and the model's thread (`model_worker`) around `conversation`, which is pure logic over `turns` (or
`push_to_talk`) and `playback`; `view` shows it, `recording` keeps it. Only this package and
`sound` use threads and queues.
"""
