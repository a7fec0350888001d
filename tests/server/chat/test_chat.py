"""Conversations with the published client of OpenAI's API, asserted on the words that are said."""

from __future__ import annotations

import base64
import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import soundfile
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from mimo_edge.server.options import Limits, ServerOptions

from ..running import Running, running

DEMO = Path(__file__).parents[2] / "data" / "demo"
SUM = "seven plus five is twelve"
QUESTIONS = {
    "sum": ("what is seven plus five", SUM),
    "difference": ("what is nine minus four", "nine minus four is five"),
    "color": ("what color is the sky", "the sky is blue"),
    "count": ("count from two to six", "two three four five six"),
    "name": ("what is your name", "my name is echo"),
}
SPOKEN = {"modalities": ["text", "audio"]}


@pytest.fixture
def api(server: Running) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def heard(name: str) -> dict[str, Any]:
    """A recorded question as a part of a message."""
    data = base64.b64encode((DEMO / f"{name}.flac").read_bytes()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "flac"}}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": parts[0] if isinstance(parts[0], str) else list(parts)}


def ask(api: OpenAI, *messages: Any, **options: Any) -> ChatCompletion:
    create: Any = api.chat.completions.create
    answer: ChatCompletion = create(
        model="mimo", messages=list(messages), temperature=0, seed=1, **options
    )
    return answer


def stream(api: OpenAI, *messages: Any, **options: Any) -> list[ChatCompletionChunk]:
    create: Any = api.chat.completions.create
    with create(
        model="mimo", messages=list(messages), temperature=0, seed=1, stream=True, **options
    ) as chunks:
        return list(chunks)


def words(answer: ChatCompletion) -> str:
    assert answer.choices[0].message.content is not None
    return answer.choices[0].message.content


def transcribed(api: OpenAI, sound: bytes) -> str:
    """What the model hears in a sound."""
    data = base64.b64encode(sound).decode()
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    question = {"type": "text", "text": "Please transcribe this audio file"}
    return words(ask(api, user(part, question)))


def test_a_spoken_question_is_answered_in_text(api: OpenAI) -> None:
    answer = ask(api, user(heard("sum")))
    assert answer.object == "chat.completion" and answer.model == "MiMo-Audio-Demo"
    assert words(answer) == SUM and answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.completion_tokens_details is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.audio_tokens
    assert answer.usage.completion_tokens_details.audio_tokens == 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("form", ["wav", "mp3", "flac", "opus", "pcm16"])
def test_an_answer_is_spoken_in_every_format(api: OpenAI, form: str) -> None:
    answer = ask(api, user(heard("sum")), **SPOKEN, audio={"format": form, "voice": "alloy"})
    message = answer.choices[0].message
    assert message.content is None and message.audio is not None
    assert message.audio.transcript == SUM
    assert message.audio.expires_at > time.time()
    data = base64.b64decode(message.audio.data)
    if form == "pcm16":
        samples, rate = np.frombuffer(data, dtype="<i2").astype(np.float32) / 2**15, 24_000
    else:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert 1.5 < len(samples) / rate < 4 and np.abs(samples).max() > 0.05
    wav = io.BytesIO()
    soundfile.write(wav, samples, rate, format="WAV")
    assert "five" in transcribed(api, wav.getvalue())
    assert answer.usage is not None and answer.usage.completion_tokens_details is not None
    patches = answer.usage.completion_tokens_details.audio_tokens
    assert patches is not None and abs(0.16 * patches - len(samples) / rate) < 0.5


def test_a_written_question_is_answered_in_speech(api: OpenAI) -> None:
    message = ask(api, user("what is seven plus five"), **SPOKEN).choices[0].message
    assert message.audio is not None and message.audio.transcript == SUM
    assert base64.b64decode(message.audio.data)[:4] == b"RIFF"


def test_text_is_streamed(api: OpenAI) -> None:
    chunks = stream(api, user("what is seven plus five"), stream_options={"include_usage": True})
    *pieces, ending, usage = chunks
    assert pieces[0].choices[0].delta.role == "assistant"
    texts = [chunk.choices[0].delta.content or "" for chunk in pieces]
    assert "".join(texts) == SUM and len([text for text in texts if text]) == 5
    assert ending.choices[0].finish_reason == "stop"
    assert all(chunk.choices[0].finish_reason is None and chunk.usage is None for chunk in pieces)
    assert not usage.choices and usage.usage is not None and usage.usage.completion_tokens == 5
    assert len({chunk.id for chunk in chunks}) == 1
    without = stream(api, user("what is seven plus five"))
    assert without[-1].choices[0].finish_reason == "stop"


def test_speech_is_streamed_with_its_words_and_its_expiry_last(api: OpenAI) -> None:
    audio = {"format": "pcm16", "voice": {"id": "voice_unknown"}}
    chunks = stream(api, user(heard("sum")), **SPOKEN, audio=audio)
    parts = [chunk.choices[0].delta.audio for chunk in chunks if chunk.choices[0].delta.audio]
    assert len({part.id for part in parts}) == 1
    assert "".join(part.transcript or "" for part in parts) == SUM
    data = [base64.b64decode(part.data) for part in parts if part.data]
    assert len(data) > 2 and all(len(piece) % 2 == 0 for piece in data)
    samples = np.frombuffer(b"".join(data), dtype="<i2")
    assert 1.5 < len(samples) / 24_000 < 4 and np.abs(samples).max() > 1000
    assert [part.expires_at is not None for part in parts] == [False] * (len(parts) - 1) + [True]
    assert all(chunk.choices[0].delta.content is None for chunk in chunks)
    # Referred to by its identifier, a streamed answer is remembered, too.
    said = {"role": "assistant", "audio": {"id": parts[0].id}}
    assert words(ask(api, user(heard("sum")), said, user(heard("memory")))).startswith("you said")


@pytest.mark.parametrize("form", ["wav", "mp3", "opus", "flac"])
def test_streamed_pieces_make_one_file(api: OpenAI, form: str) -> None:
    chunks = stream(api, user(heard("sum")), **SPOKEN, audio={"format": form, "voice": "x"})
    parts = [chunk.choices[0].delta.audio for chunk in chunks if chunk.choices[0].delta.audio]
    file = b"".join(base64.b64decode(part.data) for part in parts if part.data)
    samples, rate = soundfile.read(io.BytesIO(file), dtype="float32")
    assert 1.5 < len(samples) / rate < 4 and np.abs(samples).max() > 0.05


def test_a_conversation_goes_on_from_what_was_really_said(api: OpenAI) -> None:
    """Nothing but the new question is evaluated."""
    first = ask(api, user(heard("sum")), **SPOKEN)
    assert first.usage is not None and first.choices[0].message.audio is not None
    said = {"role": "assistant", "audio": {"id": first.choices[0].message.audio.id}}
    second = ask(api, user(heard("sum")), said, user(heard("memory")), **SPOKEN)
    answer = second.choices[0].message.audio
    assert answer is not None and answer.transcript == "you said what is seven plus five"
    assert second.usage is not None and second.usage.prompt_tokens_details is not None
    known = first.usage.total_tokens
    assert second.usage.prompt_tokens_details.cached_tokens == known
    assert second.usage.prompt_tokens > known
    # The same again: all of the prompt is known.
    again = ask(api, user(heard("sum")), said, user(heard("memory")), **SPOKEN)
    assert again.usage is not None and again.usage.prompt_tokens_details is not None
    assert again.usage.prompt_tokens_details.cached_tokens == again.usage.prompt_tokens - 1


def test_conversations_that_alternate_each_keep_what_was_computed() -> None:
    with running() as server:
        api = OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        questions = ("what is seven plus five", "what color is the sky", "what is your name")
        histories = {question: [user(question)] for question in questions}
        before = dict.fromkeys(questions, 0)
        for _ in range(3):
            for question, messages in histories.items():
                answer = ask(api, *messages)
                assert answer.usage is not None and answer.usage.prompt_tokens_details is not None
                cached = answer.usage.prompt_tokens_details.cached_tokens
                assert cached is not None
                # All but how the last answer was opened, which looks different once it is over.
                assert cached >= before[question] - 5
                before[question] = answer.usage.prompt_tokens
                messages += [
                    {"role": "assistant", "content": words(answer)},
                    user("what did i just say"),
                ]


def test_an_answer_that_is_not_kept_is_replaced_by_its_words(api: OpenAI) -> None:
    said = {"role": "assistant", "audio": {"id": "audio_gone"}, "content": SUM}
    assert words(ask(api, user(heard("sum")), said, user(heard("memory")))).startswith("you said")
    with pytest.raises(openai.BadRequestError, match="audio_gone") as refused:
        ask(api, user("a"), {"role": "assistant", "audio": {"id": "audio_gone"}}, user("b"))
    assert refused.value.code == "audio_expired"
    assert refused.value.param == "messages.1.audio.id"


def test_words_can_stand_around_a_recording(api: OpenAI) -> None:
    question = {"type": "text", "text": "Please transcribe this audio file"}
    assert words(ask(api, user(heard("sum"), question))) == "what is seven plus five"
    system = {"role": "system", "content": "You are kind."}
    with_system = ask(api, system, user(heard("sum"), question))
    folded = ask(api, user({"type": "text", "text": "You are kind."}, heard("sum"), question))
    assert with_system.usage is not None and folded.usage is not None
    assert with_system.usage.prompt_tokens == folded.usage.prompt_tokens
    assert words(with_system) == words(folded)


def test_a_recording_can_come_as_clients_of_vllm_send_it(api: OpenAI) -> None:
    url = f"data:audio/flac;base64,{heard('sum')['input_audio']['data']}"
    assert words(ask(api, user({"type": "audio_url", "audio_url": {"url": url}}))) == SUM


def test_many_conversations_at_once_do_not_mix(api: OpenAI) -> None:
    """Each says what it says alone."""

    def talk(name: str) -> tuple[str, str]:
        first = ask(api, user(heard(name)), **SPOKEN).choices[0].message.audio
        assert first is not None
        reference = {"role": "assistant", "audio": {"id": first.id}}
        second = ask(api, user(heard(name)), reference, user(heard("memory")))
        return first.transcript, words(second)

    alone = [talk(name) for name in QUESTIONS]
    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        assert list(pool.map(talk, QUESTIONS)) == alone
    right = [(answer, f"you said {question}") for question, answer in QUESTIONS.values()]
    assert [answer for answer, _ in alone] == [answer for answer, _ in right]
    # Of one question in five it remembers a wrong word itself; it is not one of the others.
    assert len(set(alone) & set(right)) >= len(right) - 1


def test_a_greeting_and_late_instructions_have_their_place(api: OpenAI) -> None:
    hello = {"role": "assistant", "content": "hello"}
    late = {"role": "developer", "content": "Be brief."}
    assert words(ask(api, hello, user("what is seven plus five"))) == SUM
    for messages in (
        (user("a"), hello, late, user(heard("sum"))),
        (user("a"), hello, user(heard("sum")), late),
        (late, late, hello, user("what is seven plus five")),
    ):
        answer = ask(api, *messages)
        assert answer.choices[0].finish_reason == "stop" and words(answer)


def test_an_answer_in_text_ends_at_a_stop_word(api: OpenAI) -> None:
    for stop in (" twelve", ["never", "twel"]):
        answer = ask(api, user("what is seven plus five"), stop=stop)
        assert words(answer) == "seven plus five is"
        assert answer.choices[0].finish_reason == "stop"
        chunks = stream(api, user("what is seven plus five"), stop=stop)
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert said.strip() == "seven plus five is"


def test_an_answer_is_as_long_as_it_may_be(api: OpenAI) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        answer = ask(api, user("what is seven plus five"), **{name: 3})
        assert words(answer) == "seven plus five"
        assert answer.choices[0].finish_reason == "length"


def test_thoughts_are_told_apart(api: OpenAI) -> None:
    answer = ask(api, user("what is seven plus five"), reasoning_effort="low")
    # The demo model does not think: what it says is its thought and its answer.
    thought: Any = answer.choices[0].message
    assert thought.reasoning_content == words(answer) == SUM
    for effort in ("none", "minimal"):
        plain: Any = ask(api, user("what is seven plus five"), reasoning_effort=effort)
        assert plain.choices[0].message.reasoning_content is None
    chunks: list[Any] = stream(api, user("what is seven plus five"), reasoning_effort="high")
    thoughts = [getattr(chunk.choices[0].delta, "reasoning_content", None) for chunk in chunks]
    assert "".join(text or "" for text in thoughts) == SUM


def test_a_seed_gives_the_same_answer(api: OpenAI) -> None:
    create: Any = api.chat.completions.create

    def sound(seed: int) -> str:
        answer: ChatCompletion = create(
            model="x", messages=[user(heard("color"))], seed=seed, **SPOKEN
        )
        assert answer.choices[0].message.audio is not None
        return answer.choices[0].message.audio.data

    assert sound(-7) == sound(-7) != sound(8)


def test_an_answer_is_given_in_a_voice_of_the_library(tmp_path: Path) -> None:
    with running(ServerOptions(port=0, voices=tmp_path)) as server:
        api = OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        with (DEMO / "voice-slt.flac").open("rb") as sound:
            voice = api.audio.voices.create(audio_sample=sound, name="Ada", consent="yes")
        tokens = []
        for name in ({"id": voice.id}, "Ada", "alloy"):
            audio = {"format": "wav", "voice": name}
            answer = ask(api, user(heard("sum")), **SPOKEN, audio=audio)
            assert answer.choices[0].message.audio is not None and answer.usage is not None
            assert answer.choices[0].message.audio.transcript == SUM
            tokens.append(answer.usage.prompt_tokens)
        assert tokens[0] == tokens[1] > tokens[2]


def test_who_leaves_ends_the_answer() -> None:
    samples, rate = soundfile.read(DEMO / "count.flac", dtype="float32")
    long = io.BytesIO()
    soundfile.write(long, np.tile(samples, 40 * rate // len(samples)), rate, format="FLAC")
    data = base64.b64encode(long.getvalue()).decode()
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "flac"}}
    left = 'mimo_edge_requests_total{kind="chat",outcome="left"} 2.0'
    with running(ServerOptions(port=0, limits=Limits(running=1))) as server:
        for options in ({}, {"stream": True, **SPOKEN}):
            body = {"messages": [user(part)], **options}
            soon = httpx.Timeout(30, read=0.05)
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=soon)
        for _ in range(600):
            if left in server.client.get("/metrics").text:
                break
            time.sleep(0.1)
        assert left in server.client.get("/metrics").text
        # There is one place: whoever left does not keep it.
        api = OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        assert words(ask(api, user("what is seven plus five"))) == SUM
