"""Downloads from a hub on this machine, in processes of their own, and what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.tools.hub_server import Hub

ROOT = Path(__file__).parents[2]
MODEL = "owner/some-model"
SHARD = "model-00001-of-00002.safetensors"

# huggingface_hub reads its environment when it is imported, hence a process of its own.
RESOLVE = """
import sys
from convert.checkpoints.origin import find_checkpoint
from mimo_edge.bundle.files import load_manifest
from mimo_edge.errors import MimoEdgeError
try:
    print(find_checkpoint(sys.argv[1], kind=sys.argv[2], revision=sys.argv[3] or None).folder)
except MimoEdgeError as error:
    print(error)
    sys.exit(3)
"""


def environment(hub: Hub, home: Path, **changes: str) -> dict[str, str]:
    """Of a process that knows no hub but this one, with its cache in `home`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    settings = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONPATH": str(ROOT),
    }
    return kept | settings | changes


def download(
    hub: Hub,
    home: Path,
    model: str = MODEL,
    kind: str = "model",
    revision: str = "",
    **changes: str,
) -> tuple[int, str]:
    """Exit status and the path or the message."""
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, model, kind, revision],
        env=environment(hub, home, **changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr
    return done.returncode, done.stdout.strip()


def refusal(hub: Hub, home: Path, **changes: str) -> str:
    """The one sentence with which a download is refused."""
    status, text = download(hub, home, **changes)
    assert status == 3 and "\n" not in text and text.endswith("."), text
    return text


def same_files(hub: Hub, path: str) -> bool:
    """Whether a folder that was downloaded holds what is served."""
    served = hub.repos[MODEL]
    return all(
        file.read_bytes() == (served / file.name).read_bytes() for file in Path(path).iterdir()
    )
