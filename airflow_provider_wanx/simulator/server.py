"""Running the simulator: in this process beside a test, or as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import uvicorn

from airflow_provider_wanx.simulator.endpoints.app import create_app
from airflow_provider_wanx.simulator.handle import SimulatorHandle
from airflow_provider_wanx.simulator.settings import Settings, is_loopback

READY = "DashScope simulator ready at "

DEFAULT_KEY = "sk-simulator"

# Longer than any client keeps an idle connection, so that it is never the server who closes one in use.
_KEEP_ALIVE_SECONDS = 120

# For requests under way when the server stops.
_GRACE_SECONDS = 2.0


class SimulatorServer(uvicorn.Server):
    """A uvicorn server that tells when it is ready and can be stopped from another thread without delay."""

    def __init__(
        self, *, settings: Settings, verbose: bool = False, ready: Callable[[], None] | None = None
    ) -> None:
        app, self.site, breaker = create_app(settings)
        super().__init__(
            uvicorn.Config(
                app,
                # Its own configuration would close every handler of the process that a test runs in.
                log_config=None,
                log_level="info" if verbose else "error",
                access_log=verbose,
                proxy_headers=False,
                lifespan="on",
                ws="none",
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            )
        )
        breaker.connections = self.server_state.connections
        self._ready = ready
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and self._ready is not None:
            self._ready()

    async def main_loop(self) -> None:
        """Keep the server's clock going until it is told to stop."""
        tick = 0
        while not await self.on_tick(tick) and not self._stop.is_set():
            tick += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to serve: first the jobs, which may fetch from this very server, then the connections.

        Does what uvicorn does, without its pauses: they would be most of what a test with a simulator takes.
        """
        await self.site.account.close()
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            _, unfinished = await asyncio.wait(set(self.server_state.tasks), timeout=_GRACE_SECONDS)
            for task in unfinished:
                task.cancel()
        await self.lifespan.shutdown()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM, in the main thread, without passing them on afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self.stop)
        try:
            yield
        finally:
            for name in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(name)

    def stop(self) -> None:
        """Ask the server to stop, from whatever thread."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop may have ended by itself meanwhile.
                self._loop.call_soon_threadsafe(self._stop.set)


class BackgroundSimulator(SimulatorHandle):
    """A simulator in a thread of this process.

    ::

        with BackgroundSimulator(settings=Settings(speed=50)) as simulator:
            httpx.get(f"{simulator.url}/api/v1/tasks", headers=simulator.headers)

    :param settings: how the service behaves.
    :param host: an address of this machine that no other one reaches.
    :param port: 0 takes a free one.
    :raises ValueError: other machines can reach ``host``.
    """

    def __init__(self, *, settings: Settings | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        settings = settings or Settings()
        self._socket = bind(host, port)
        super().__init__(
            url=address(self._socket), api_key=settings.api_keys[0] if settings.api_keys else DEFAULT_KEY
        )
        self._began = threading.Event()
        self._server = SimulatorServer(settings=settings, ready=self._began.set)
        self._thread = threading.Thread(target=self._run, name=f"dashscope-simulator-{self.url}", daemon=True)

    def start(self) -> Self:
        """Start to serve, and return when requests are answered.

        :raises RuntimeError: it could not start.
        """
        self._thread.start()
        if not self._began.wait(timeout=10) or not self._server.started:
            raise RuntimeError(f"The DashScope simulator at {self.url} did not start.")
        return self

    def stop(self) -> None:
        """Stop to serve, and return when all connections are closed."""
        self.close()
        self._server.stop()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._began.set()


class SimulatorProcess(SimulatorHandle):
    """A simulator in a process of its own, for tests whose clients must not share a core's interpreter with it.

    It ends with this process, however that ends.

    :param arguments: the command line's, as ``python -m airflow_provider_wanx.simulator`` takes them; the port is a free one
        unless it is among them.
    :param timeout: how long to wait until it is ready, in seconds.
    :raises RuntimeError: it did not become ready.
    """

    def __init__(self, *, arguments: Sequence[str] = (), timeout: float = 20.0) -> None:
        usual = ["--port", "0", "--until-input-ends"]
        command = [sys.executable, "-m", "airflow_provider_wanx.simulator", *usual, *arguments]
        # Not a shell, and nothing but this interpreter and this package.
        self.process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        url = self._await_ready(timeout)
        given = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        given.add_argument("--api-key", default=DEFAULT_KEY)
        super().__init__(url=url, api_key=given.parse_known_args(arguments)[0].api_key)

    def _await_ready(self, timeout: float) -> str:
        killer = threading.Timer(timeout, self.process.kill)
        killer.start()
        try:
            for line in self.process.stdout or ():
                if line.startswith(READY):
                    return line.removeprefix(READY).strip()
        finally:
            killer.cancel()
        self._end()
        raise RuntimeError("The DashScope simulator did not become ready; its error output tells why.")

    def stop(self) -> None:
        """End the process."""
        super().stop()
        self._end()

    def _end(self) -> None:
        self.process.terminate()
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def bind(host: str, port: int, *, allow_remote: bool = False) -> socket.socket:
    """Bind a socket to serve on.

    :param allow_remote: whether other machines may reach it.
    :raises ValueError: they can, and may not.
    :raises OSError: the port is taken, or the host is not this machine.
    """
    if not allow_remote and not is_loopback(host):
        raise ValueError(
            f"{host} can be reached from other machines, and whoever reaches the simulator controls it "
            "and makes it fetch addresses; give --allow-remote if that is wanted"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), port), family=family)


def address(sock: socket.socket) -> str:
    """Return the URL of a bound socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
