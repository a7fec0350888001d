"""Word errors: of recordings that are written down (LibriSpeech, AISHELL-1), and of texts that are
spoken and then written down (Seed-TTS)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ...errors import BadInputError
from ...measure.word_errors import Language, word_errors
from ...tasks import PreparedTask, Speak, Task
from ..forms import transcript_task
from ..items import Asking, Benchmark, Item, Said, Verdict
from ..tables import need_file, need_folder, text_lines

__all__ = ["BENCHMARKS"]


def _load_manifest(data: Path, shots: int, *, folder: str, splits: tuple[str, ...]) -> list[Item]:
    """`manifest.txt` with an id, a tab and a transcript in each line, and `wav/ID.wav`.

    Or, in the folder of a split as LibriSpeech itself publishes it, `*.trans.txt` with an id, a
    blank and a transcript, beside `ID.flac`.
    """
    _no_examples(shots)
    names = tuple(f"{folder}/{split}" for split in splits)
    if any((data / name).is_dir() and [*(data / name).rglob("*.trans.txt")] for name in names):
        root = next(data / name for name in names if (data / name).is_dir())
        return _load_original(root)
    root = need_folder(data, *names, holds="manifest.txt")
    items = []
    for line in text_lines(root / "manifest.txt"):
        identity, tab, text = line.partition("\t")
        if not tab:
            raise BadInputError(
                f"{root / 'manifest.txt'} has the line {line[:60]!r}; expected are an id, a tab "
                "and what is said."
            )
        sound = need_file(root / "wav" / f"{identity.strip()}.wav", "manifest.txt")
        items.append(_item(identity.strip(), text.strip(), sound))
    return items


def _load_original(root: Path) -> list[Item]:
    items = []
    for transcript in sorted(root.rglob("*.trans.txt")):
        for line in text_lines(transcript):
            identity, _, text = line.partition(" ")
            sound = need_file(transcript.parent / f"{identity}.flac", transcript.name)
            items.append(_item(identity, text.strip(), sound))
    return items


def _load_texts(data: Path, shots: int, *, split: str) -> list[Item]:
    _no_examples(shots)
    root = need_folder(data, f"seedtts/{split}", holds="text.txt")
    return [
        _item(str(number), text.strip(), None)
        for number, text in enumerate(text_lines(root / "text.txt"))
    ]


def _item(identity: str, text: str, sound: Path | None) -> Item:
    return Item(id=identity, subject="", question=Said(text=text, sound=sound), answer=text)


def _no_examples(shots: int) -> None:
    if shots:
        raise BadInputError(
            f"{shots} examples are wanted, and word errors are measured without any; ask for 0."
        )


def _ask_to_transcribe(item: Item, asking: Asking, *, language: Language) -> PreparedTask:
    assert item.question.sound is not None
    return transcript_task(
        asking.manifest,
        asking.listen(item.question.sound),
        language,
        instruction=asking.instruction,
        overrides=asking.overrides,
    )


def _ask_to_speak(item: Item, asking: Asking) -> Task:
    return Speak(text=item.question.text, overrides=asking.overrides)


def _judge(item: Item, text: str, *, language: Language, cut: bool) -> Verdict:
    # The toolkit cuts a transcript at the first bracket: remarks such as "(laughs)".
    written = text.partition("(")[0] if cut else text
    errors = word_errors(item.answer, written, language)
    return Verdict(correct=not errors.errors, errors=errors)


def _hearing(name: str, folder: str, splits: tuple[str, ...], language: Language) -> Benchmark:
    return Benchmark(
        name=name,
        measure="word errors",
        speaks=False,
        load=partial(_load_manifest, folder=folder, splits=splits),
        ask=partial(_ask_to_transcribe, language=language),
        judge=partial(_judge, language=language, cut=True),
        language=language,
    )


def _speaking(split: str, language: Language) -> Benchmark:
    return Benchmark(
        name=f"seedtts-{split.replace('_', '-')}",
        measure="word errors",
        speaks=True,
        load=partial(_load_texts, split=split),
        ask=_ask_to_speak,
        judge=partial(_judge, language=language, cut=False),
        language=language,
    )


BENCHMARKS = (
    _hearing("librispeech-clean", "librispeech", ("test_clean", "test-clean"), "en"),
    _hearing("librispeech-other", "librispeech", ("test_other", "test-other"), "en"),
    _hearing("aishell1", "aishell1", ("test",), "zh"),
    _speaking("en", "en"),
    _speaking("zh", "zh"),
    _speaking("zh_hardcase", "zh"),
)
