"""One visit to the service: what is done there once, and in what order, for all facts together."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from airflow_provider_wanx.dashscope import ApiError, DashScopeClient, ProviderError
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL, REPAINT_SERVICE
from tests.conformance.core import NotObservedError
from tests.conformance.service import pictures
from tests.conformance.service.bursts import Burst, Request, at_once
from tests.conformance.service.probes import Probe
from tests.conformance.service.tracks import ENDED, Queue, Track
from tests.conformance.service.wire import ASYNC, RESOLVE, Exchange, Target, Wire


class Visit:
    """Everything that is done at the service. Nothing is done before a fact asks for it, and nothing twice."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.wire = Wire(target)
        self.outcomes: dict[str, tuple[Any, Exception | None]] = {}
        self.client = DashScopeClient(
            target.config, transport=target.transport() if target.transport else None
        )
        self.tracks: list[Track] = []

    def close(self) -> None:
        """Cancel what still waits, look at what is left, and close all connections."""
        for track in self.tracks:
            try:
                if not track.looks or track.status not in ENDED:
                    self.wire.cancel(track.task_id)
                    self.look(track)
            except (httpx.TransportError, LookupError, ValueError):
                continue
        self.client.close()
        self.wire.close()

    # What is sent

    @Probe
    def portrait(self) -> bytes:
        """The portrait, as a JPEG file."""
        return pictures.jpeg(self.target.portrait)

    @Probe
    def policy(self) -> Exchange:
        """The permission to upload."""
        return self.ask_for_policy()

    def ask_for_policy(self) -> Exchange:
        """Ask for a permission to upload, which is good for five minutes."""
        return self.wire.send("GET", "/uploads", params={"action": "getPolicy", "model": REPAINT_MODEL})

    def put(self, name: str, data: bytes, policy: dict[str, Any]) -> Exchange:
        """Upload a file with a policy, as its page describes it."""
        form = {
            "OSSAccessKeyId": policy["oss_access_key_id"],
            "Signature": policy["signature"],
            "policy": policy["policy"],
            "key": f"{policy['upload_dir']}/{name}",
            "x-oss-object-acl": policy["x_oss_object_acl"],
            "x-oss-forbid-overwrite": policy["x_oss_forbid_overwrite"],
            "success_action_status": "200",
        }
        return self.wire.fetch("POST", policy["upload_host"], data=form, files={"file": (name, data)})

    @Probe
    def uploaded(self) -> Exchange:
        """The portrait goes into the temporary store."""
        return self.put("portrait.jpg", self.portrait, self.policy.body["data"])

    @Probe
    def uploaded_twice(self) -> Exchange:
        """The same file goes there once more."""
        if self.uploaded.status != httpx.codes.OK:
            raise NotObservedError(f"the first upload was answered with HTTP {self.uploaded.status}")
        return self.put("portrait.jpg", self.portrait, self.policy.body["data"])

    @property
    def oss_url(self) -> str:
        """Where the portrait is in the temporary store.

        :raises NotObservedError: it is not there.
        """
        if self.uploaded.status != httpx.codes.OK:
            raise NotObservedError(f"the portrait could not be uploaded: HTTP {self.uploaded.status}")
        return f"oss://{self.policy.body['data']['upload_dir']}/portrait.jpg"

    # Tasks

    def follow(self, submitted: Exchange) -> Track:
        """Begin to look at the task of a submission.

        :raises NotObservedError: it was refused.
        """
        if submitted.status != httpx.codes.OK:
            raise NotObservedError(f"the submission was refused: {submitted.refusal}")
        return self._tracked(Track(submitted, submitted.output["task_id"], began=self.target.clock.now()))

    def _tracked(self, track: Track) -> Track:
        self.tracks.append(track)
        return track

    def look(self, track: Track) -> str:
        """Look at a task once, and at the list if it has not been there yet; return its state."""
        seen = self.wire.task(track.task_id)
        if seen.status == httpx.codes.OK:
            track.looks.append(seen)
        if track.listed_after is None and self.row(track.task_id) is not None:
            track.listed_after = self.target.clock.now() - track.began
        return track.status

    def row(self, task_id: str) -> dict[str, Any] | None:
        """A task's row in the list, None if there is none."""
        page = self.wire.list(task_id=task_id)
        rows = (page.body.get("data") or []) if page.status == httpx.codes.OK else []
        return next((row for row in rows if row["task_id"] == task_id), None)

    def looked_until(self, track: Track, states: Sequence[str]) -> bool:
        """Look at a task until it is in one of these states; tell whether it was before the patience ended."""
        deadline = self.target.clock.now() + self.target.patience
        while self.look(track) not in states:
            if self.target.clock.now() > deadline:
                return False
            self.target.clock.sleep(self.target.poll_interval)
        return True

    def end(self, track: Track) -> Track:
        """Look at a task until it has ended.

        :raises NotObservedError: it takes too long.
        """
        if not self.looked_until(track, ENDED):
            raise NotObservedError(f"the task was {track.status} for {self.target.patience:.0f} seconds")
        return track

    def run(self, given: dict[str, Any], *, costs: bool, resolves: bool = False) -> Track:
        """Submit a task and look at it until it has ended."""
        headers = {**ASYNC, **(RESOLVE if resolves else {})}
        return self.end(self.follow(self.wire.submit(given, costs=costs, headers=headers)))

    @Probe
    def submitted(self) -> Exchange:
        """The answer to the first submission of a picture; one image."""
        given = {"image_url": self.oss_url, "style_index": 3}
        return self.wire.submit(given, costs=True, headers={**ASYNC, **RESOLVE})

    @Probe
    def queue(self) -> Queue:
        """Three tasks at once; one more image. A task that is refused leaves the facts about the others."""
        first = self.follow(self.submitted)
        self.look(first)
        second = self._attempt(self._submit_with_client)
        third = self._attempt(self._submit_one_more)
        canceled = canceled_again = None
        if not third.refused:
            canceled = self.wire.cancel(third.task_id)
            self.look(third)
            canceled_again = self.wire.cancel(third.task_id)
        self.look(first)
        under_way = self.wire.list(model_name=REPAINT_MODEL, page_size=100)
        queue = Queue(first, second, third, under_way, canceled, canceled_again)
        if self.looked_until(first, ENDED):
            queue.canceled_ended = self.wire.cancel(first.task_id)
            queue.ended_listed_after = self._end_in_list(first)
        if not second.refused:
            if self.looked_until(second, (*ENDED, "RUNNING")) and second.status == "RUNNING":
                queue.canceled_running = self.wire.cancel(second.task_id)
            self.looked_until(second, ENDED)
        self._await_in_list([track for track in queue.tracks if not track.refused])
        return queue

    def _attempt(self, submit: Callable[[], Track]) -> Track:
        """Submit and look once; a refusal is kept for the facts that need the task."""
        try:
            track = submit()
        except NotObservedError as reason:
            return Track(None, "", began=self.target.clock.now(), refused=str(reason))
        self.look(track)
        return track

    def _submit_one_more(self) -> Track:
        given = {"image_url": pictures.data_url(self.portrait), "style_index": 8}
        return self.follow(self.wire.submit(given, costs=True))

    def _end_in_list(self, track: Track) -> float | None:
        """Look at the list until it shows the end of a task; return after how many seconds it does."""
        ended = self.target.clock.now()
        while (self.row(track.task_id) or {}).get("status") not in ENDED:
            if self.target.clock.now() > ended + 10:
                return None
            self.target.clock.sleep(self.target.poll_interval)
        return self.target.clock.now() - ended

    def _await_in_list(self, tracks: list[Track]) -> None:
        """Look until all tasks are in the list, but no longer than this package's search for a lost submission would."""
        deadline = self.target.clock.now() + min(65.0, self.target.patience)
        while any(track.listed_after is None for track in tracks) and self.target.clock.now() < deadline:
            self.target.clock.sleep(self.target.poll_interval)
            for track in tracks:
                if track.listed_after is None:
                    self.look(track)

    def _submit_with_client(self) -> Track:
        purse, name = self.wire.purse, "submission of the client"
        purse.reserve(name)
        self.wire.await_turn_to_submit()
        image_url = pictures.data_url(pictures.webp(self.target.portrait))
        given = {"image_url": image_url, "style_index": 35}
        try:
            submission = self.client.submit_task(service=REPAINT_SERVICE, model=REPAINT_MODEL, input=given)
        except ProviderError as error:
            if isinstance(error, ApiError):
                purse.release(name)
            raise NotObservedError(f"the client's submission was refused: {error}") from error
        purse.rename(name, submission.task_id)
        return self._tracked(Track(None, submission.task_id, began=self.target.clock.now()))

    @Probe
    def success(self) -> Exchange:
        """The answer about a task that has succeeded."""
        return self.queue.first.look("SUCCEEDED")

    @Probe
    def unreachable(self) -> Track | Exchange:
        """A picture at an address that does not exist; free."""
        return self._bad({"image_url": pictures.NOWHERE, "style_index": 3})

    @Probe
    def unreachable_again(self) -> Track | Exchange:
        """The same once more; free."""
        return self._bad({"image_url": pictures.NOWHERE, "style_index": 3})

    @Probe
    def no_picture(self) -> Track | Exchange:
        """A text where a picture should be; free."""
        return self._bad({"image_url": pictures.NO_PICTURE, "style_index": 3})

    @Probe
    def small(self) -> Track | Exchange:
        """A picture of 128 × 128 pixels; free if it is refused."""
        image_url = pictures.data_url(pictures.small(self.target.portrait))
        return self._bad({"image_url": image_url, "style_index": 3}, costs=True)

    @Probe
    def huge(self) -> Track | Exchange:
        """A picture of 5800 × 3300 pixels; free if it is refused."""
        image_url = pictures.data_url(pictures.huge(self.target.portrait))
        return self._bad({"image_url": image_url, "style_index": 3}, costs=True)

    @Probe
    def gif(self) -> Track | Exchange:
        """A GIF file; free if it is refused."""
        image_url = pictures.data_url(pictures.gif(self.target.portrait))
        return self._bad({"image_url": image_url, "style_index": 3}, costs=True)

    @Probe
    def too_large(self) -> Track | Exchange:
        """A file of more than 10 MiB; free if it is refused."""
        return self._stored("too-large.bmp", pictures.too_large(self.target.portrait))

    @Probe
    def unresolved(self) -> Track | Exchange:
        """The uploaded portrait without the header that it needs; free if it is refused."""
        return self._bad({"image_url": self.oss_url, "style_index": 3}, costs=True)

    @Probe
    def wide(self) -> Track | Exchange:
        """A picture of 1.8:1; one image, or none."""
        image_url = pictures.data_url(pictures.wide(self.target.portrait))
        return self._bad({"image_url": image_url, "style_index": 3}, costs=True)

    @Probe
    def large(self) -> Track | Exchange:
        """A file of a little more than 10,000,000 bytes; one image, or none."""
        return self._stored("large.bmp", pictures.large(self.target.portrait))

    def _stored(self, name: str, picture: bytes) -> Track | Exchange:
        """Submit a picture by way of the temporary store."""
        # The first permission may be over by now.
        policy = self.ask_for_policy().body["data"]
        stored = self.put(name, picture, policy)
        if stored.status != httpx.codes.OK:
            raise NotObservedError(f"it could not be uploaded: HTTP {stored.status}")
        given = {"image_url": f"oss://{policy['upload_dir']}/{name}", "style_index": 3}
        return self._bad(given, costs=True, headers={**ASYNC, **RESOLVE})

    def _bad(
        self, given: dict[str, Any], *, costs: bool = False, headers: dict[str, str] = ASYNC
    ) -> Track | Exchange:
        """Submit what may be refused at once or fail later; return the refusal, or the ended task."""
        seen = self.wire.submit(given, costs=costs, headers=headers)
        return seen if seen.status != httpx.codes.OK else self.end(self.follow(seen))

    @Probe
    def failed(self) -> Exchange:
        """The answer about a task that has failed."""
        tracks = [each for each in (self.unreachable, self.no_picture) if isinstance(each, Track)]
        if not tracks:
            raise NotObservedError("bad pictures were refused when they were submitted")
        return tracks[0].look("FAILED")

    @Probe
    def reference(self) -> Track:
        """The first result, at its address, in the style of the portrait; one image."""
        style_ref_url = pictures.data_url(pictures.png(self.target.portrait))
        given = {"image_url": self.result_url, "style_ref_url": style_ref_url, "style_index": -1}
        return self.run(given, costs=True)

    # Results

    @property
    def result_url(self) -> str:
        """Where the first result is."""
        url: str = self.success.output["results"][0]["url"]
        return url

    @Probe
    def result(self) -> Exchange:
        """The first result itself."""
        return self.wire.fetch("GET", self.result_url)

    @Probe
    def result_size(self) -> tuple[int, int]:
        """Its width and height."""
        return pictures.size_of(self.result.content)

    # Lists, refusals and limits

    @property
    def plain_list(self) -> Exchange:
        """The list without any filter, when there are tasks."""
        self.queue  # noqa: B018 - there have to be tasks
        return self.wire.list()

    def refused(self, given: Any, **submission: Any) -> Exchange:
        """Submit something that cannot end in a picture."""
        return self.wire.submit(given, costs=False, **submission)

    @Probe
    def unknown_task(self) -> Exchange:
        """The answer about an id that does not exist."""
        return self.wire.send("GET", f"/tasks/{self.nobody}")

    @Probe
    def nobody(self) -> str:
        """An id that the service does not know."""
        return str(uuid.uuid4())

    @Probe
    def quotas(self) -> Exchange:
        """The limits of the model, at the address that the service knows."""
        query = {"model": REPAINT_MODEL}
        seen = self.wire.send("GET", "/quotas", params=query)
        return (
            seen if seen.status == httpx.codes.OK else self.wire.send("GET", "/models/limits", params=query)
        )

    @Probe
    def quota(self) -> dict[str, Any]:
        """The limits of the model."""
        entries = self.quotas.output["quotas"]
        limit: dict[str, Any] = next(each for each in entries if each["model"] == REPAINT_MODEL)[
            "model_limit"
        ]
        return limit

    @Probe
    def task_burst(self) -> Burst:
        """60 questions at once about a task that does not exist."""
        return self._burst([("get", lambda: self.wire.task(self.nobody, paced=False))] * 60)

    @Probe
    def submit_burst(self) -> Burst:
        """6 submissions at once of a picture that cannot be had; free."""
        given = {"image_url": pictures.NOWHERE, "style_index": 3}
        body = {"model": REPAINT_MODEL, "input": given}
        return self._burst(
            [
                (
                    "submit",
                    lambda: self.wire.send(
                        "POST", f"/services/{REPAINT_SERVICE}", paced=False, headers=ASYNC, json=body
                    ),
                )
            ]
            * 6
        )

    @Probe
    def shared_burst(self) -> Burst:
        """15 requests to each of the three task endpoints within a second."""
        return self._burst(
            [
                ("get", lambda: self.wire.task(self.nobody, paced=False)),
                ("list", lambda: self.wire.send("GET", "/tasks", paced=False)),
                ("cancel", lambda: self.wire.cancel(self.nobody, paced=False)),
            ]
            * 15
        )

    def _burst(self, requests: list[Request]) -> Burst:
        if not self.target.bursts:
            raise NotObservedError("the limits were not to be exceeded")
        return at_once(requests, self.target.clock)
