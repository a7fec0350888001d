from __future__ import annotations

import re

import httpx
from prometheus_client.parser import text_string_to_metric_families

from ..running import Running


def values(client: httpx.Client) -> dict[str, float]:
    """Every sample by its name and labels."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        sample.name + "".join(f",{name}={value}" for name, value in sorted(sample.labels.items())):
        sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }  # fmt: skip


def test_an_answer_is_counted(server: Running) -> None:
    before = values(server.client)
    speech = {"input": "Seven plus five is twelve.", "response_format": "pcm"}
    sound = server.client.post("/v1/audio/speech", json=speech)
    assert sound.status_code == 200
    after = values(server.client)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert more("mimo_edge_requests_total,kind=speech,outcome=done") == 1
    assert more("mimo_edge_patches_total") > 5
    assert more("mimo_edge_text_tokens_total") > 0
    assert more("mimo_edge_prompt_positions_total") > 0
    assert more("mimo_edge_first_audio_seconds_count,kind=speech") == 1
    assert more("mimo_edge_real_time_factor_count") == 1
    assert more("mimo_edge_audio_seconds_total") > 1
    assert after["mimo_edge_running_requests"] == 0
    assert after["mimo_edge_waiting_requests"] == 0
    assert after["mimo_edge_conversations"] == 0
    assert after["mimo_edge_carried_conversations"] >= 1
    assert after["mimo_edge_resident_bytes"] > 10_000_000


def test_refusals_are_counted_by_reason_and_hold_nothing_of_the_caller(server: Running) -> None:
    before = values(server.client)
    for _ in range(3):
        refused = server.client.get("/v1/models", headers={"Host": "somebody.example"})
        assert refused.status_code == 403
    name = "mimo_edge_refusals_total,kind=http,reason=host_not_allowed"
    after = values(server.client)
    assert after[name] - before.get(name, 0) == 3
    assert not any(re.search("somebody", name) for name in after)


def test_the_newer_format_is_given_to_those_who_ask(client: httpx.Client) -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_a_format_whose_version_is_none_is_answered_in_the_usual_one(client: httpx.Client) -> None:
    accept = "application/openmetrics-text; version=abc"
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == client.get("/metrics").headers["content-type"]
