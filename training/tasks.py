"""Examples of every task, drawn at random from the speech of one split."""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
from tokenizers import Tokenizer

from training import domain
from training.codes import RENDERINGS, CodeBank, Said
from training.data import ANSWER_VOICES, Utterance
from training.sequences import ASR_INSTRUCTION, GROUP, Stream
from training.split import is_held_out

MOST_TURNS = 6
NEW_TEXTS = 0.9  # share of the texts to speak that are made up; those of files get learned by heart
POOL, REUSED = 600, 0.6  # of the made-up texts: how many are kept, how often one of them is taken
SHARES = (0.15, 0.5)  # of transcription and of speaking; the rest is dialogue
SYSTEM = "You are a helpful assistant."


class Tasks:
    """Draws examples; `held_out` picks the side of the split."""

    def __init__(
        self,
        bank: CodeBank,
        tokenizer: Tokenizer,
        empty_codes: list[int],
        held_out: bool = False,
        shares: tuple[float, float] = SHARES,
    ) -> None:
        self.bank, self.tokenizer, self.empty_codes = bank, tokenizer, empty_codes
        self.held_out, self.shares = held_out, shares
        self.kinds: dict[str, list[int]] = defaultdict(list)
        self.answers: dict[tuple[str, str], int] = {}
        self.made_up: dict[int, tuple[np.ndarray, Utterance]] = {}
        self.made = 0
        self.entries = bank.speech.entries
        for index, entry in enumerate(self.entries):
            if entry["kind"] == "answer":
                if is_held_out(entry) == held_out or entry["text"] in domain.FACTS.values():
                    self.answers[entry["text"], entry["voice"]] = index
                if is_held_out(entry) == held_out:
                    self.kinds[f"answer {entry['voice']}"].append(index)
            elif is_held_out(entry) == held_out:
                self.kinds[entry["kind"]].append(index)
        not_understood = [
            (i, e) for i, e in enumerate(self.entries) if e["text"] == domain.NOT_UNDERSTOOD
        ]
        self.answers.update({(e["text"], e["voice"]): i for i, e in not_understood})
        self.kinds["question"] = [i for i in self.kinds["fact"] if self.text(i) in domain.FACTS]
        self.kinds["memory"] = [i for i in self.kinds["fact"] if self.text(i) not in domain.FACTS]
        self.kinds["memorable"] = self.kinds["question"] + [
            i for i in self.kinds["repeat"] if (f"you said {self.text(i)}", "slt") in self.answers
        ]

    def text(self, index: int) -> str:
        """What an utterance says."""
        return str(self.entries[index]["text"])

    def pick(self, kind: str, rng: np.random.Generator) -> int:
        """A random utterance of one kind."""
        return int(rng.choice(self.kinds[kind]))

    def heard(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """One of its everyday renderings."""
        return self.bank.heard(index, int(rng.integers(RENDERINGS)))

    def said(self, index: int, rng: np.random.Generator) -> Said:
        """An utterance as the model is to say it."""
        return self.bank.answer(index, int(rng.integers(GROUP)))

    def new_text(self, rng: np.random.Generator) -> str:
        """A word sequence that is not held out."""
        words = random.Random(int(rng.integers(2**32)))
        while domain.held_out_sequence(text := domain.sequence(words, 1, 6)):
            pass
        return text

    def new_target(self, voice: str, rng: np.random.Generator) -> tuple[np.ndarray, Utterance]:
        """Codes of a text that is made up, or was a little while ago: synthesis takes longest."""
        if len(self.made_up) < POOL or rng.random() > REUSED:
            self.made_up[self.made % POOL] = self.bank.new_target(self.new_text(rng), voice)
            self.made += 1
            return self.made_up[(self.made - 1) % POOL]
        return self.made_up[int(rng.integers(POOL))]

    def stream(self) -> Stream:
        """An empty conversation."""
        return Stream(self.tokenizer, self.empty_codes)

    def example(self, rng: np.random.Generator) -> Stream:
        """Any task."""
        share = rng.random()
        transcription, speaking = self.shares
        if share < transcription:
            return self.transcribe(rng)
        if share < transcription + speaking:
            return self.speak(rng)
        if share < 0.94:
            return self.dialogue(rng, "speech")
        return self.dialogue(rng, "text" if share < 0.965 else "written")

    def transcribe(self, rng: np.random.Generator) -> Stream:
        """Speech → its words."""
        kinds = ["sequence", "question", "memory", "repeat", "answer rms", "answer slt"]
        index = self.pick(str(rng.choice(kinds, p=[0.4, 0.1, 0.05, 0.1, 0.2, 0.15])), rng)
        own = self.entries[index]["kind"] == "answer" and rng.random() < 0.6
        patches = self.bank.own(index) if own else self.heard(index, rng)
        out = self.stream()
        out.user_speech(patches, instruction=ASR_INSTRUCTION, said=self.text(index))
        out.ask_text()
        out.pieces(self.text(index), learn=True)
        out.end_turn(learn=True)
        return out

    def speak(self, rng: np.random.Generator) -> Stream:
        """Words → speech in the default voice."""
        voice = ANSWER_VOICES[0]
        if self.held_out or rng.random() > NEW_TEXTS:
            index = self.pick(f"answer {voice}", rng)
            text, said = self.text(index), self.said(index, rng)
        else:
            codes, entry = self.new_target(voice, rng)
            text, said = entry["text"], self.bank.said(codes, entry, int(rng.integers(GROUP)))
        out = self.stream()
        out.tts_prompt(text + str(rng.choice(["", "", "."])))
        out.spoken(text, said.patches, learn=True, words=said.words)
        out.end_turn(learn=True)
        return out

    def turn(self, voice: str, spoken: bool, rng: np.random.Generator) -> tuple[int, str]:
        """(what the user says, the reply); -1 is mere noise."""
        share = rng.random()
        if share < 0.08:
            return self.pick("strange", rng), domain.NOT_UNDERSTOOD
        if share < 0.10 and spoken:
            return -1, domain.NOT_UNDERSTOOD
        kind = "question" if share < 0.5 else "repeat"
        while True:
            index = self.pick(kind, rng)
            reply = domain.answer(self.text(index))
            if (reply, voice) in self.answers or not spoken:
                return index, reply

    def turns(self, voice: str, spoken: bool, rng: np.random.Generator) -> list[tuple[int, str]]:
        """Up to `MOST_TURNS` turns; sometimes the user asks what he said in the one before."""
        share = rng.random()
        count = 1 if share < 0.5 else 2 if share < 0.75 else int(rng.integers(3, MOST_TURNS + 1))
        out: list[tuple[int, str]] = []
        while len(out) < count:
            if len(out) + 1 < count and rng.random() < 0.25:
                first = self.pick("memorable", rng)
                said = domain.answer(domain.MEMORY_QUESTION, self.text(first))
                out.append((first, domain.answer(self.text(first))))
                out.append((self.pick("memory", rng), said))
            else:
                out.append(self.turn(voice, spoken, rng))
        return out

    def dialogue(self, rng: np.random.Generator, mode: str) -> Stream:
        """`speech` is answered in speech, `written` in text; in `text` both sides write."""
        voice = str(rng.choice(ANSWER_VOICES, p=[0.6, 0.4]))
        out = self.stream()
        if mode == "speech" and (voice != ANSWER_VOICES[0] or rng.random() < 0.4):
            kind = f"answer {voice}"
            if rng.random() < 0.5:
                out.voice(self.said(self.pick(kind, rng), rng).patches)
            else:
                out.voice(self.heard(self.pick(kind, rng), rng))
        system = SYSTEM if rng.random() < 0.1 and mode != "text" else ""
        for index, reply in self.turns(voice, mode != "text", rng):
            if mode == "text":
                question = self.text(index)
                styles = [question, question.capitalize(), f"{question.capitalize()}?"]
                out.user_text(str(rng.choice(styles)))
            else:
                noise = index < 0
                patches = self.bank.noise(int(rng.integers(200))) if noise else None
                said = "" if noise else self.text(index)
                patches = self.heard(index, rng) if patches is None else patches
                out.user_speech(patches, "", system, said)
                system = ""
            if mode == "speech":
                out.ask_speech()
                answer = self.said(self.answers[reply, voice], rng)
                out.spoken(reply, answer.patches, learn=True, words=answer.words)
            else:
                out.ask_text()
                out.pieces(reply, learn=True)
            out.end_turn(learn=True)
        return out
