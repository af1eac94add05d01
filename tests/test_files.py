"""Atomic writes that fail at every point, locks whose holders are killed, and what is swept up afterwards."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from under10k.errors import BusyError, DataError, ModelError, UsageError
from under10k.files import (
    is_scratch,
    locked,
    open_inside,
    open_ordinary,
    read_inside,
    refuse_links,
    require_file,
    require_folder,
    sha256,
    sweep_temporaries,
    sync_folder,
    taking_turns,
    write_atomically,
    write_json,
    writing_together,
)

HOLDER = """
import sys
from pathlib import Path
from under10k.files import locked

with locked(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""

LIMITED_WRITER = """
import resource, signal, sys
from pathlib import Path
from under10k.files import write_atomically

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_atomically(Path(sys.argv[1]), b"new" * int(sys.argv[2]))
except OSError as error:
    print(error.errno)
"""

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from under10k.files import write_atomically

setattr(os, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
write_atomically(Path(sys.argv[1]), b"new")
"""


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)


@contextmanager
def another_holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder's lock until its standard input is closed, or it is killed."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def fail(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullDisk(io.BufferedWriter):
    """A file whose disk has no room left."""

    def write(self, _: Any) -> NoReturn:
        fail()


def fail_in(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    if what == "write":
        monkeypatch.setattr(os, "fdopen", lambda descriptor, _: FullDisk(io.FileIO(descriptor, "wb")))
    else:
        monkeypatch.setattr(os, what, fail)


# --- atomic writes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 5000])
def test_bytes_are_written_as_they_are_and_replace_what_was_there(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a longer, older content")
    write_atomically(path, content)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_written_as_utf8(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", "zéro\n")
    assert (tmp_path / "file").read_bytes() == b"z\xc3\xa9ro\n"


@pytest.mark.parametrize("what", ["write", "fsync", "replace"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_write_that_fails_keeps_what_was_there_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, old: bytes | None
) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    with monkeypatch.context() as broken:
        fail_in(broken, what)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            write_atomically(path, b"new")
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == ({} if old is None else {"file": old})


def test_a_write_that_is_interrupted_keeps_what_was_there_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> NoReturn:
        raise KeyboardInterrupt

    path = tmp_path / "file"
    path.write_bytes(b"old")
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(path, b"new")
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == {"file": b"old"}


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize(("threes", "expected"), [(1000, ""), (2000, f"{errno.EFBIG}\n"), (10**6, f"{errno.EFBIG}\n")])
def test_a_file_that_may_not_grow_so_large_keeps_what_was_there(tmp_path: Path, threes: int, expected: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = run_python(LIMITED_WRITER, str(path), str(threes))
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")
    assert path.read_bytes() == (b"old" if expected else b"new" * threes)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_write_that_is_killed_keeps_what_was_there_and_its_remains_are_swept(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    assert run_python(KILLED_WRITER, str(path), moment).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    sweep_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_content_reaches_the_disk_before_the_name_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    really_sync, really_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        what = os.fstat(descriptor)
        events.append("sync folder" if stat.S_ISDIR(what.st_mode) else f"sync {what.st_size} bytes")
        really_sync(descriptor)

    def replace(source: Path, target: Path) -> None:
        assert Path(source).parent == Path(target).parent, "a rename is atomic within one folder only"
        events.append(f"replace {Path(target).name}")
        really_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    write_atomically(tmp_path / "file", b"content")
    assert events == ["sync 7 bytes", "replace file", "sync folder"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a pipe"])
def test_what_is_no_file_is_never_replaced_by_one(kind: str, tmp_path: Path) -> None:
    """Root could rename a file over a device, /dev/null say; a pipe stands for it here."""
    target, pipe = tmp_path / "target", tmp_path / "pipe"
    os.mkfifo(pipe)
    match kind:
        case "folder":
            target.mkdir()
        case "pipe":
            os.mkfifo(target)
        case _:
            target.symlink_to(pipe)
    before = (target.lstat(), pipe.lstat())
    with pytest.raises(UsageError, match=r"no file to write to: .*target is a folder, a device or a pipe"):
        write_atomically(target, "content")
    assert (target.lstat(), pipe.lstat()) == before
    assert len(list(tmp_path.iterdir())) == 2


def test_through_a_link_the_file_that_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "link"
    link.symlink_to("elsewhere/file")
    for content in "new", "changed":
        write_atomically(link, content)
        assert link.is_symlink()
        assert (tmp_path / "elsewhere" / "file").read_text() == content
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["file"]


def test_a_folder_that_is_not_there_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", b"")
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o000, 0o666)])
def test_permissions_follow_the_umask_which_stays_as_it_is(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file", b"")
    finally:
        after = os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode
    assert after == mask


def test_the_umask_of_the_process_which_other_threads_rely_on_is_never_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "umask", fail)
    write_atomically(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


LONG = "x" * 255


def test_a_name_as_long_as_the_file_system_takes_is_written(tmp_path: Path) -> None:
    for name in (LONG, LONG[:245], "y"):
        require_file(tmp_path / name)
        write_atomically(tmp_path / name, "content")
        assert (tmp_path / name).read_text() == "content"
    with writing_together(tmp_path / LONG[:254]) as place:
        (place / LONG).write_text("content")
    assert (tmp_path / LONG[:254] / LONG).read_text() == "content"


@pytest.mark.parametrize("path", [f"{LONG}x", f"new/{LONG}x", f"new/{LONG}x/new/file", "new/" * 2000 + "file"])
def test_a_name_that_no_file_system_takes_is_refused_beforehand(path: str, tmp_path: Path) -> None:
    for require in require_file, require_folder:
        with pytest.raises(OSError, match="File name too long") as caught:
            require(tmp_path / path)
        assert caught.value.filename == str(tmp_path / path)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_to_is_refused_beforehand_and_what_can_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in "folder", "pipe":
        with pytest.raises(UsageError, match="no file to write to"):
            require_file(tmp_path / name)
    for name in "file", "pipe":
        with pytest.raises(UsageError, match="not a folder"):
            require_folder(tmp_path / name)
    for require in require_file, require_folder:
        with pytest.raises(NotADirectoryError):
            require(tmp_path / "file" / "below")
    with pytest.raises(UsageError, match="no file to write to"):
        require_folder(tmp_path, "new", "pipe")
    before = sorted(tmp_path.rglob("*"))
    for name in "file", "new", "folder/new", "new/new/new":
        require_file(tmp_path / name)
    for name in "", "folder", "new", "new/new/new":
        require_folder(tmp_path / name, "file", "new")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused_beforehand(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    for require in require_file, require_folder:
        with pytest.raises(PermissionError):
            require(tmp_path / "new" / "new")


# --- several files at once ---------------------------------------------------------------------------------------


def write_new(folder: Path, *names: str | Callable[[], None]) -> None:
    """Write files together; a function among the names is called."""
    with writing_together(folder, stale=["stale", "a"]) as place:
        for name in names:
            (place / name).write_text("new") if isinstance(name, str) else name()


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("is_new", [True, False])
def test_of_files_written_together_all_are_there_or_those_of_before(is_new: bool, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    before = {} if is_new else {"a": "old", "stale": "old", "mine": "old"}
    if not is_new:
        folder.mkdir()
    for name, text in before.items():
        (folder / name).write_text(text)
    with pytest.raises(OSError, match="No space") as caught:
        write_new(folder, "a", fail)
    assert caught.value.filename == str(folder)
    assert folder.exists() != is_new
    assert is_new or texts(folder) == before
    write_new(folder, "a", "b")
    assert texts(folder) == {"a": "new", "b": "new", **({} if is_new else {"mine": "old"})}


def test_a_folder_in_the_place_of_one_file_keeps_all_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(UsageError, match="no file to write to"):
        write_new(tmp_path, "a", "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_those_who_write_together_are_asked_once_nobody_else_does(tmp_path: Path) -> None:
    (tmp_path / ".under10k-left").mkdir()
    with pytest.raises(BusyError), writing_together(tmp_path, require=lambda: refuse(tmp_path)):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".under10k-left"], "nothing is touched"
    with writing_together(tmp_path) as place:
        assert [path for path in tmp_path.iterdir() if not is_scratch(path)] == []
        assert list(tmp_path.iterdir()) == [place], "what a killed process has left is gone"


def refuse(folder: Path) -> NoReturn:
    raise BusyError(f"not now: {folder}. come back later")


# --- reading -----------------------------------------------------------------------------------------------------


def test_an_ordinary_file_of_a_bounded_size_is_opened_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with open_ordinary(tmp_path / "file", 7, DataError) as file:
        assert file.read() == b"content"
    with (
        pytest.raises(DataError, match=r"file too large: .* has 7 bytes"),
        open_ordinary(tmp_path / "file", 6, DataError),
    ):
        pass
    with pytest.raises(IsADirectoryError), open_ordinary(tmp_path, 7, DataError):
        pass
    with pytest.raises(FileNotFoundError), open_ordinary(tmp_path / "missing", 7, DataError):
        pass


# --- what comes from a stranger ----------------------------------------------------------------------------------


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file that no link in the folder `own` beside it may lead to."""
    (tmp_path / "own").mkdir()
    (tmp_path / "victim").write_text("mine")
    return tmp_path / "victim"


@pytest.mark.parametrize("mode", ["rb", "r+b", "ab", "wb"])
def test_a_file_in_a_folder_from_a_stranger_is_never_opened_through_a_link(mode: str, victim: Path) -> None:
    link = victim.parent / "own" / "metrics.jsonl"
    link.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        open_inside(link, mode)
    with pytest.raises(ModelError, match=r"a link: .*metrics\.jsonl\. put what it leads to in its place"):
        read_inside(link)
    assert victim.read_text(encoding="utf-8") == "mine"


def test_a_file_that_becomes_a_link_once_it_was_looked_at_is_not_written_through(
    victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = victim.parent / "own" / "batches.csv"
    link.symlink_to(victim)
    monkeypatch.setattr(Path, "is_symlink", lambda _: False)
    with pytest.raises(OSError, match="symbolic links"):
        open_inside(link, "ab")
    assert victim.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("mode", ["r+b", "ab", "wb"])
def test_a_pipe_in_a_folder_from_a_stranger_is_not_waited_for(mode: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"pipe"):
        open_inside(tmp_path / "pipe", mode)


def test_what_is_written_into_a_folder_from_a_stranger_replaces_a_link_and_not_what_it_leads_to(victim: Path) -> None:
    link = victim.parent / "own" / "plan.json"
    link.symlink_to(victim)
    write_json(link, 1)
    assert (link.is_symlink(), link.read_text(), victim.read_text(encoding="utf-8")) == (False, "1\n", "mine")


def test_a_link_at_any_depth_of_a_folder_is_found(victim: Path) -> None:
    own = victim.parent / "own"
    (own / "runs" / "a" / "checkpoint").mkdir(parents=True)
    refuse_links(own)
    for place in own, own / "runs" / "a" / "checkpoint":
        (place / ".lock.pid").symlink_to(victim)
        with pytest.raises(ModelError, match=r"a link in a run folder: .*\.lock\.pid"):
            refuse_links(own)
        (place / ".lock.pid").unlink()


@pytest.mark.parametrize("name", [".lock", ".lock.pid"])
def test_a_lock_is_not_taken_through_a_link(name: str, victim: Path) -> None:
    own = victim.parent / "own"
    (own / name).symlink_to(victim)
    with pytest.raises(ModelError, match=rf"a link for a lock: .*{name}\. remove it"), locked(own):
        pass
    assert victim.read_text(encoding="utf-8") == "mine"


# --- JSON and hashes ---------------------------------------------------------------------------------------------


def test_json_is_read_back_equal_and_ends_with_its_line(tmp_path: Path) -> None:
    value = {"name": "zéro", "numbers": [1, 0.1, None, True], "nested": {"empty": {}}}
    write_json(tmp_path / "file.json", value)
    text = (tmp_path / "file.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_refuses_numbers_that_it_has_no_word_for(tmp_path: Path, value: float) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": [value]})
    assert {found.name: found.read_text() for found in tmp_path.iterdir()} == {"file.json": "old"}


def test_the_hash_of_chunks_is_that_of_their_sum() -> None:
    whole = hashlib.sha256(b"one and two").hexdigest()
    assert sha256(b"one and two") == sha256(b"one", b"", memoryview(b" and two")) == whole
    assert sha256() == hashlib.sha256(b"").hexdigest()


# --- locks -------------------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    with another_holder(tmp_path) as holder, pytest.raises(BusyError) as caught, locked(tmp_path):
        pass
    assert caught.value.exit_code == 6
    assert f"process {holder.pid}." in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_lock_goes_with_the_process_that_is_killed(tmp_path: Path) -> None:
    with another_holder(tmp_path) as holder:
        os.kill(holder.pid, signal.SIGKILL)
        assert holder.wait(timeout=60) == -signal.SIGKILL
        with locked(tmp_path):
            assert (tmp_path / ".lock.pid").read_text() == str(os.getpid())


def test_a_lock_is_free_again_after_its_block_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        _ = 1 / 0
    with locked(tmp_path):
        pass
    with another_holder(tmp_path) as holder:
        assert holder.stdin is not None
        holder.stdin.close()
        assert holder.wait(timeout=60) == 0
    assert not (tmp_path / ".lock.pid").exists()


def test_who_waits_for_a_lock_gets_it_when_its_holder_ends(tmp_path: Path) -> None:
    with another_holder(tmp_path) as holder:
        assert holder.stdin is not None
        holder.stdin.close()
        with locked(tmp_path, wait_seconds=60):
            assert (tmp_path / ".lock.pid").read_text() == str(os.getpid())


def test_a_lock_that_has_no_room_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("under10k.files.open_inside", fail)
    with pytest.raises(OSError, match="No space") as caught, locked(tmp_path):
        pass
    assert caught.value.filename == str(tmp_path / ".lock.pid")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no file that is open")
def test_a_lock_that_was_removed_keeps_nobody_out_and_its_successor_is_left_alone(tmp_path: Path) -> None:
    with locked(tmp_path) as lock:
        lock.require()
        (tmp_path / ".lock").unlink()
        with pytest.raises(BusyError, match=r"lock lost: .*\.lock was removed or replaced"):
            lock.require()
        with another_holder(tmp_path) as holder:
            with pytest.raises(BusyError, match="lock lost"):
                lock.require()
            assert (tmp_path / ".lock.pid").read_text() == str(holder.pid)
    assert (tmp_path / ".lock.pid").read_text() == str(holder.pid), "of a killed process; not ours to remove"


def test_locks_on_two_folders_do_not_hinder_each_other(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with another_holder(tmp_path), locked(tmp_path / "other"):
        assert (tmp_path / "other" / ".lock.pid").exists()


def test_who_is_refused_is_told_so_where_the_holder_has_not_yet_left_its_name(tmp_path: Path) -> None:
    with another_holder(tmp_path):
        for leave in ((tmp_path / ".lock.pid").unlink, (tmp_path / ".lock.pid").touch):
            leave()
            with pytest.raises(BusyError, match="written by process unknown"), locked(tmp_path):
                pass


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_those_that_change_a_folder_take_turns_and_leave_nothing_in_it(tmp_path: Path) -> None:
    def change() -> None:
        with taking_turns(tmp_path):
            (tmp_path / "changed").touch()

    with ThreadPoolExecutor(1) as pool:
        with taking_turns(tmp_path):
            other = pool.submit(change)
            with pytest.raises(TimeoutError):
                other.result(timeout=0.1)
            assert list(tmp_path.iterdir()) == []
        other.result(timeout=60)
    assert [path.name for path in tmp_path.iterdir()] == ["changed"]


# --- sweeping ----------------------------------------------------------------------------------------------------


def test_sweeping_removes_temporaries_and_nothing_else(tmp_path: Path) -> None:
    kept = {".lock", ".lock.pid", "model.safetensors", "notes.tmp", ".hidden", ".state.tmp.txt"}
    for name in [*kept, ".model.safetensors.k3j2.tmp", ".recipe.json.00_a.tmp"]:
        (tmp_path / name).write_text("")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / ".file.abc.tmp").write_text("")
    (tmp_path / ".folder.tmp").mkdir()
    sweep_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "below", ".folder.tmp"}
    assert (tmp_path / "below" / ".file.abc.tmp").exists()


def test_sweeping_a_folder_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    sweep_temporaries(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []
