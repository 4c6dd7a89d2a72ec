"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets; the test is skipped with the reason where there is none."""
    told = os.environ.get("EXPLORER_TEST_DATA")
    root = Path(told) if told else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no real data at {root}: set EXPLORER_TEST_DATA to a folder that holds it")
    return root


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: they serve pages from threads of this process, whose loops live on."""
    items.sort(key=lambda item: "tests/browser/" in item.nodeid)
