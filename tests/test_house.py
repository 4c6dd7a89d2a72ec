"""The house itself: rooms import in one direction, start-up is light, files agree, tools pass."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ["kernels", "explorer.survey", "explorer.pipeline", "explorer.session", "explorer.views", "explorer.page"]
ALLOWED_IN_KERNELS = {"numpy", "scipy", "torch", "sklearn", "numba", "kernels"}
LAZY_IN_KERNELS = {
    "faiss",
    "umap",
    "nflows",
    "lance",
    "pyarrow",
    "PIL",
    "safetensors",
    "huggingface_hub",
    "tqdm",
    "lightgbm",
    "shap",
}
ABOVE = {"explorer", "explorer.checks"}


def _files() -> list[Path]:
    return sorted([*ROOT.glob("kernels/**/*.py"), *ROOT.glob("explorer/**/*.py")])


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _room(module: str) -> int | None:
    """Place of a module's room in the list; the page is what lays views out and what the commands are."""
    if module in ABOVE:
        return None
    for place, room in enumerate(ROOMS):
        if module == room or module.startswith(room + "."):
            return place
    own = ROOT.joinpath(*module.split(".")[:2])
    return len(ROOMS) - 1 if own.with_suffix(".py").exists() or own.is_dir() else None


def _imports(path: Path) -> list[tuple[str, bool]]:
    """``(module, at import time)`` of every import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner.update(ast.walk(node))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            inner.update(ast.walk(node))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(a.name, node not in inner) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; name the module whole"
            found += [(f"{node.module}.{a.name}", node not in inner) for a in node.names]
    return found


@pytest.mark.parametrize("path", _files(), ids=_module)
def test_a_room_imports_only_from_rooms_above_it(path: Path) -> None:
    room = _room(_module(path))
    for name, _ in _imports(path):
        if name.split(".")[0] not in ("kernels", "explorer"):
            continue
        other = _room(name)
        if room is not None and other is not None:
            assert other <= room, f"{_module(path)} imports {name}, from a room below"
    if _module(path).startswith("explorer.views.") and not path.name.startswith("_"):
        views = {_module(p) for p in ROOT.glob("explorer/views/[a-z]*.py")} - {_module(path)}
        for name, _ in _imports(path):
            assert not any(name == v or name.startswith(v + ".") for v in views), f"views import each other: {name}"


@pytest.mark.parametrize("path", sorted(ROOT.glob("kernels/**/*.py")), ids=_module)
def test_kernels_stand_on_few_packages(path: Path) -> None:
    for name, at_import in _imports(path):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top in ALLOWED_IN_KERNELS:
            continue
        assert top in LAZY_IN_KERNELS, f"{_module(path)} imports {name}"
        assert not at_import, f"{_module(path)} imports {name} when it is imported; do so where it is used"


def test_import_is_light_and_listing_imports_nothing() -> None:
    heavy = ["torch", "sklearn", "numba", "lance", "panel", "bokeh", "holoviews", "astropy", "pandas", "scipy", "numpy"]
    code = f"""
import sys, explorer
from kernels.scoring import SCORERS
from kernels.embedding import ENCODERS
import explorer.views
found = SCORERS.names(), ENCODERS.names(), explorer.views.VIEWS.names()
assert all(found), found
dir(explorer)
print([m for m in {heavy} if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]", f"heavy packages come along: {done.stdout}"


def test_environment_yml_is_in_step_with_pyproject() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    lines = (ROOT / "environment.yml").read_text().splitlines()
    listed = [line.strip()[2:] for line in lines if line.startswith("      - ") and not line.strip().startswith("- --")]
    assert listed == asked
    pins = {
        p.split("==")[0].lower().replace("_", "-")
        for p in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in p
    }
    names = {re.split(r"[<>=\[]", d)[0].lower() for d in asked}
    assert names <= pins, f"constraints.txt lacks {sorted(names - pins)}"


def test_the_version_is_one() -> None:
    import explorer

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == explorer.__version__
    year, month = (int(part) for part in explorer.__version__.split(".")[:2])
    assert year >= 2026, "calendar versions keep clear of the distribution `kernels` (0.18 to 0.19)"
    assert 1 <= month <= 12


def test_files_fit_in_a_head() -> None:
    long = {str(p.relative_to(ROOT)): n for p in _files() if (n := p.read_text().count("\n")) > 450}
    assert not long, f"files over 450 lines hold two ideas: {long}"


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=lambda c: " ".join(c),
)
def test_lint_format_and_types(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
