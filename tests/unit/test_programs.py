from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests import programs

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "#!/bin/sh\necho Chromium 1.0\n"
NOBODY_LISTENS = "http://127.0.0.1:9"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder that is the whole PATH: with a shell, and without any of the programs."""
    path = tmp_path / "bin"
    path.mkdir()
    (path / "sh").symlink_to("/bin/sh")
    return path


def put(program: Path, text: str) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(text)
    program.chmod(0o755)


def bring(name: str, path: Path, *, downloads: str = NOBODY_LISTENS) -> subprocess.CompletedProcess[str]:
    """Bring a program on a machine that has nothing but what is on the path."""
    env = {
        "PATH": str(path),
        "HOME": str(path.parent),
        "PLAYWRIGHT_DOWNLOAD_HOST": downloads,
        "PLAYWRIGHT_BROWSERS_PATH": str(path.parent / "browsers"),
    }
    command = [sys.executable, "-m", "tests.programs", name]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


def test_a_program_that_is_there_is_used_without_a_word(path: Path) -> None:
    put(path / "google-chrome", CHROMIUM)
    done = bring("chromium", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_debians_chromium_is_installed_where_that_needs_no_question(path: Path) -> None:
    put(path / "sudo", '#!/bin/sh\nshift\nexec "$@"\n')
    put(path / "env", '#!/bin/sh\nshift\nexec "$@"\n')
    put(path / "true", "#!/bin/sh\n")
    installed = f"printf '#!/bin/sh\\n' >{path}/chromium; /bin/chmod +x {path}/chromium"
    put(path / "apt-get", f'#!/bin/sh\ncase "$*" in *install*chromium) {installed};; esac\n')
    done = bring("chromium", path)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert "Debian's package chromium" in line


@pytest.fixture
def download_host() -> Iterator[str]:
    """Has an archive for whatever is asked: with a Chromium, wherever Playwright wants it."""

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            archive = io.BytesIO()
            with zipfile.ZipFile(archive, "w") as writer:
                for name in ("chrome-linux64/chrome", "chrome-linux/chrome", "ffmpeg-linux"):
                    entry = zipfile.ZipInfo(name)
                    entry.external_attr = 0o755 << 16
                    writer.writestr(entry, CHROMIUM)
            self.send_response(200)
            self.send_header("Content-Length", str(len(archive.getvalue())))
            self.end_headers()
            self.wfile.write(archive.getvalue())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_playwrights_chromium_is_downloaded_where_debians_cannot_be_installed(
    path: Path, download_host: str
) -> None:
    done = bring("chromium", path, downloads=download_host)
    assert done.returncode == 0, done.stderr
    assert "Playwright's own" in done.stdout.splitlines()[-1]
    again = bring("chromium", path)
    assert (again.returncode, again.stdout) == (0, "")


@pytest.mark.parametrize("has_apt", [False, True])
def test_if_nothing_brings_chromium_one_sentence_tells_why(path: Path, has_apt: bool) -> None:
    if has_apt:
        put(path / "apt-get", "#!/bin/sh\nexit 100\n")
        put(path / "sudo", "#!/bin/sh\n")
    # Playwright asks a host that nobody listens at five times, and notices at once that it can put nothing there.
    (path.parent / "browsers").touch()
    done = bring("chromium", path)
    assert done.returncode == 1
    # What cannot be tried is not announced.
    assert ("Debian's package" in done.stdout) == has_apt
    assert "Playwright's own" in done.stdout
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("Chromium is missing")
    assert "Debian's package" in sentence
    assert "see .test/programs/playwright.log" in sentence


@pytest.mark.parametrize("name", ["postgresql", "redis"])
def test_a_server_that_cannot_be_installed_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, path: Path, name: str
) -> None:
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setattr(programs, "_DEBIAN_POSTGRESQL", path)
    monkeypatch.setattr(programs, "find_spec", lambda _: None)
    put(path / "python", "#!/bin/sh\necho no network; exit 1\n")
    monkeypatch.setattr(sys, "executable", str(path / "python"))
    with pytest.raises(programs.ProgramMissingError, match=f"see .test/programs/{name}.log") as caught:
        programs.bring(name)
    assert "\n" not in str(caught.value)


def test_the_newest_server_of_debian_goes_before_one_on_the_path(
    monkeypatch: pytest.MonkeyPatch, path: Path, tmp_path: Path
) -> None:
    def put_server(folder: Path) -> Path:
        for name in ("initdb", "postgres", "createdb", "pg_isready"):
            put(folder / name, "#!/bin/sh\n")
        return folder

    monkeypatch.setattr(programs, "_DEBIAN_POSTGRESQL", tmp_path / "debian")
    monkeypatch.setattr(programs, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "nothing"), str(path)]))
    with pytest.raises(programs.ProgramMissingError, match=r"tests\.programs postgresql"):
        programs.postgresql()
    assert put_server(path) == programs.postgresql()
    put_server(tmp_path / "debian" / "9.6" / "bin")
    assert put_server(tmp_path / "debian" / "15" / "bin") == programs.postgresql()
