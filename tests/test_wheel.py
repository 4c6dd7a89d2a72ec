"""The built wheel, installed where nothing of the checkout is near, has its cards and recipes and runs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_the_data_and_nothing_that_is_not_ours_to_install(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert top == {"explorer", "kernels", f"astro_explorer-{wheel.name.split('-')[1]}.dist-info"}
    for folder in ("cards", "recipes"):
        wanted = {p.name for p in (ROOT / "data" / folder).glob("*.toml")}
        assert wanted, f"data/{folder} is empty"
        assert wanted <= {Path(n).name for n in names if n.startswith(f"explorer/_data/{folder}/")}


def test_the_installed_wheel_runs_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    code = (
        "import explorer, kernels\n"
        "from explorer.survey import cards\n"
        "from explorer.survey.simulate import simulate\n"
        "print(explorer.__file__)\n"
        "assert 'simulated' in cards.names(), cards.names()\n"
        "print(len(next(iter(simulate('euclid-desi', 4, seed=1)))))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    where, count = done.stdout.split()
    assert where.startswith(str(site)), "the checkout was imported instead of the wheel"
    assert int(count) == 4
