"""A wheelhouse of wheels that cost nothing, with the pip that Python carries itself."""

from __future__ import annotations

import ensurepip
import shutil
import sysconfig
import zipfile
from pathlib import Path

# Stands for mimo_edge in the packed folder: says what it was started with.
PROGRAM = """
import json, os, sys
kept = {name: os.environ.get(name) for name in ("MIMO_EDGE_MODEL", "PYTHONPATH", "PIP_INDEX_URL")}
print(json.dumps({"arguments": sys.argv[1:], "python": sys.executable, **kept}))
sys.exit(7 if "fail" in sys.argv else 0)
"""
NATIVE = ("llama_cpp_python", "numpy", "onnxruntime")


def make_wheel(folder: Path, name: str, tags: str = "py3-none-any", **files: str) -> Path:
    """An empty package, or one with these modules."""
    path = folder / f"{name}-1.0-{tags}.whl"
    info = f"{name}-1.0.dist-info"
    needs = "".join(f"Requires-Dist: {package}\n" for package in NATIVE if name == "mimo_edge")
    contents = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tags}\n",
        **{f"{name}/{module}.py": text for module, text in files.items()},
    }
    record = "".join(f"{file},,\n" for file in [*contents, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in {**contents, f"{info}/RECORD": record}.items():
            wheel.writestr(file, text)
    return path


def make_wheelhouse(folder: Path, tags: str = "py3-none-any") -> Path:
    """All that is needed; `tags` are those of the packages that are built for a machine."""
    folder.mkdir()
    make_wheel(folder, "mimo_edge", __init__="", __main__=PROGRAM)
    for name in NATIVE:
        make_wheel(folder, name, tags, __init__="")
    # A distribution, as Debian, may keep it elsewhere than in the library.
    elsewhere = sysconfig.get_config_var("WHEEL_PKG_DIR")
    bundled = Path(elsewhere or Path(ensurepip.__file__).parent / "_bundled")
    (pip,) = bundled.glob("pip-*.whl")
    shutil.copy(pip, folder)
    return folder
