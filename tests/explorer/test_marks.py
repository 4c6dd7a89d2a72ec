"""Marks: a log that several people and processes write at once, that undo only adds to, and that a kill spares."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest

from explorer.session import Session
from explorer.session.marks import Marks, MarksError, on_local_disk
from explorer.survey.store import Survey
from kernels.registry import UnknownName


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path)


def standing(marks: Marks, user: str | None = None) -> dict[str, tuple]:
    frame = marks.current(user)
    return {r.id: (r.label, None if r.score != r.score else r.score, r.note) for r in frame.itertuples()}


def test_reading_makes_no_file(marks: Marks) -> None:
    assert marks.current().empty
    assert marks.last() == 0
    assert marks.log() == marks.undo("ann") == []
    assert not marks.path.exists()


def test_what_is_none_stays_as_it_was(marks: Marks) -> None:
    marks.add("ann", ["a", "b"], ["A", "B"], "lens", 5, "an arc")
    marks.add("ann", ["a"], ["A"], score=3)
    marks.add("ann", ["b"], ["B"], "dust")
    marks.add("ann", ["c"], ["C"], score=0)
    assert standing(marks) == {"a": ("lens", 3, "an arc"), "b": ("dust", 5, "an arc"), "c": ("", 0, "")}
    marks.remove("ann", ["a"], ["A"])
    assert "a" not in standing(marks)
    assert len(marks.log()) == 6
    assert marks.current().columns.tolist() == ["id", "object_id", "label", "score", "note", "user", "time", "entry"]
    assert marks.current()["time"].str.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00").all()


def test_people_do_not_touch_each_others_marks(marks: Marks) -> None:
    marks.add("ann", ["a"], ["A"], "lens")
    marks.add("bob", ["a"], ["A"], "dust")
    assert standing(marks, "ann")["a"][0] == "lens"
    assert standing(marks, "bob")["a"][0] == "dust"
    assert len(marks.current()) == 2
    marks.undo("bob")
    assert standing(marks) == {"a": ("lens", None, "")}
    assert marks.undo("bob") == []
    assert marks.undo("ann") == ["a"]


def test_undo_takes_whole_steps_back_in_turn(marks: Marks) -> None:
    marks.add("ann", ["a", "b"], ["A", "B"], "lens")
    first = standing(marks)
    marks.add("ann", ["b", "c"], ["B", "C"], "dust")
    second = standing(marks)
    marks.remove("ann", ["a"], ["A"])
    assert marks.undo("ann") == ["a"]
    assert standing(marks) == second
    assert marks.undo("ann") == ["b", "c"]
    assert standing(marks) == first
    marks.add("ann", ["c"], ["C"], "ring")
    assert standing(marks)["c"][0] == "ring"
    assert marks.undo("ann") == ["c"]
    assert marks.undo("ann") == ["a", "b"]
    assert standing(marks) == {}
    assert marks.undo("ann") == []
    entries = [e["entry"] for e in marks.log()]
    assert entries == sorted(entries)
    assert len([e for e in marks.log() if e["id"]]) == 6


def test_an_earlier_state_can_be_read_again(marks: Marks) -> None:
    then = marks.add("ann", ["a"], ["A"], "lens")
    marks.add("ann", ["a"], ["A"], "dust")
    marks.undo("ann")
    marks.undo("ann")
    assert marks.current("ann").empty
    assert marks.current("ann", then)["label"].tolist() == ["lens"]


def test_text_stays_text(marks: Marks) -> None:
    for odd in ("'; DROP TABLE log; --", "<script>", "Ünïcode 🌌", "a\nb", str(2**63 + 1)):
        marks.add("ann", [odd], [odd], odd, None, odd)
        assert standing(marks)[odd] == (odd, None, odd)


@pytest.mark.parametrize("user", ["", "  ", "x" * 201, "a\x00b", None, 3])
def test_users_have_names(marks: Marks, user: object) -> None:
    with pytest.raises(ValueError, match="no user's name"):
        marks.add(user, ["a"], ["A"], "lens")  # type: ignore[arg-type]


@pytest.mark.parametrize("score", [-1, 5.1, float("nan"), float("inf")])
def test_scores_go_from_0_to_5(marks: Marks, score: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 5"):
        marks.add("ann", ["a"], ["A"], "lens", score)
    assert not marks.path.exists()


def _write(folder: Path, user: str, count: int) -> None:
    marks = Marks(folder)
    for i in range(count):
        marks.add(user, [f"{user}-{i}", "shared"], ["o", "o"], f"label {i}")


def test_processes_write_at_once_and_see_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    people = [context.Process(target=_write, args=(tmp_path, user, 25)) for user in ("ann", "bob", "eve")]
    for p in people:
        p.start()
    for p in people:
        p.join(60)
        assert p.exitcode == 0
    marks = Marks(tmp_path)
    assert len(marks.log()) == 3 * 25 * 2
    assert len(marks.current()) == 3 * 26
    batches: dict[int, set[str]] = {}
    for entry in marks.log():
        batches.setdefault(entry["batch"], set()).add(entry["user"])
    assert all(len(users) == 1 for users in batches.values())


def _write_and_tell(folder: Path, told: Path) -> None:
    marks, i = Marks(folder), 0
    while True:
        marks.add("ann", [f"a{i}", f"b{i}"], ["o", "o"], "lens")
        i += 1
        told.with_suffix(".part").write_text(str(i))
        os.replace(told.with_suffix(".part"), told)


def test_a_kill_loses_nothing_that_was_said_and_leaves_no_half_step(tmp_path: Path) -> None:
    told = tmp_path / "told"
    process = multiprocessing.get_context("spawn").Process(target=_write_and_tell, args=(tmp_path, told))
    process.start()
    deadline = time.time() + 60
    while not told.exists() and time.time() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(10)
    said = int(told.read_text())
    marks = Marks(tmp_path)
    assert len(marks.log()) in (2 * said, 2 * said + 2)
    marks.add("ann", ["z"], ["o"], "dust")
    assert standing(marks)["z"][0] == "dust"
    with contextlib.closing(sqlite3.connect(marks.path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_journal_fits_the_disk(tmp_path: Path, monkeypatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\n/dev/sdb /home/local\\040disk xfs rw 0 0\n"
        "sshfs /mnt fuse.sshfs rw 0 0\nbroken line\n"
    )
    expected = {"/data/s": True, "/home/ann/s": False, "/home/local disk/s": True, "/mnt/x": False, "/homely": True}
    for folder, local in expected.items():
        assert on_local_disk(Path(folder), str(mounts)) is local, folder
    assert not on_local_disk(tmp_path, str(tmp_path / "none"))
    for local, mode in ((True, "wal"), (False, "delete"), (True, "wal")):
        monkeypatch.setattr("explorer.session.marks.on_local_disk", lambda _, local=local: local)
        Marks(tmp_path).add("ann", [mode], ["o"], "lens")
        with contextlib.closing(sqlite3.connect(tmp_path / "marks.sqlite")) as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == (mode,)
    assert set(standing(Marks(tmp_path))) == {"wal", "delete"}


def test_broken_and_missing_places_say_so(tmp_path: Path) -> None:
    (tmp_path / "marks.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(MarksError, match=r"marks\.sqlite"):
        Marks(tmp_path).current()
    with pytest.raises(MarksError, match=r"marks\.sqlite"):
        Marks(tmp_path / "none").add("ann", ["a"], ["A"], "lens")


def _look_without_rights(folder: Path) -> None:
    if os.geteuid() == 0:  # root may write everywhere
        os.setuid(65534)
    assert standing(Marks(folder)) == {"a": ("lens", None, "")}
    with pytest.raises(MarksError, match="read-only"):
        Marks(folder).add("ann", ["b"], ["B"], "lens")


def test_a_read_only_survey_shows_its_marks() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        Marks(folder).add("ann", ["a"], ["A"], "lens")
        (folder / "marks.sqlite").chmod(0o444)
        folder.chmod(0o555)
        try:
            process = multiprocessing.get_context("spawn").Process(target=_look_without_rights, args=(folder,))
            process.start()
            process.join(30)
            assert process.exitcode == 0
        finally:
            folder.chmod(0o755)


def test_a_read_only_folder_is_read_without_a_journal(marks: Marks, monkeypatch) -> None:
    marks.add("ann", ["a"], ["A"], "lens")
    monkeypatch.setattr("explorer.session.marks.os.access", lambda *_: False)
    assert standing(Marks(marks.path.parent)) == {"a": ("lens", None, "")}


# -- through a session --------------------


def test_sessions_see_each_others_marks(tiny_survey: Survey) -> None:
    ann, bob = Session(tiny_survey, "ann"), Session(tiny_survey, "bob")
    ids = tiny_survey.ids[:3].tolist()
    calls: list[int] = []
    bob.param.watch(lambda event: calls.append(event.new), "marked")
    ann.mark(ids, "lens", score=4, note="an arc")
    assert bob.refresh()
    assert calls == [3]
    assert bob.marks["id"].tolist() == ids
    assert bob.marks["object_id"].tolist() == tiny_survey.object_ids[:3].tolist()
    assert bob.labels([0, 5]) == ["", ""]
    assert ann.labels([0, 5]) == ["lens", ""]
    assert ann.select("mark == 'lens' and mark_score == 4").rows.tolist() == [0, 1, 2]
    assert len(bob.select("mark == 'lens'")) == 0
    ann.mark(1, score=1)
    ann.unmark(ids[0])
    assert ann.select("mark_score > 0").rows.tolist() == [1, 2]
    assert ann.undo_mark() == [ids[0]]
    assert ann.undo_mark() == [ids[1]]
    assert ann.select("mark_score == 4").rows.tolist() == [0, 1, 2]


def test_marks_of_what_is_not_there_are_refused(tiny_survey: Survey) -> None:
    session = Session(tiny_survey, "ann")
    with pytest.raises(UnknownName, match="nobody"):
        session.mark(["nobody"], "lens")
    with pytest.raises(ValueError, match="needs a label"):
        session.mark([0])
    with pytest.raises(ValueError, match="no user's name"):
        Session(tiny_survey, "a\nb")
    assert session.marks.empty
