"""Label events over HTTP: `POST /api/labels` stores them, `GET /api/labels?dataset=&task=` tells what counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from spatialnet.errors import DataSetNotFound, PathRefused
from spatialnet.label import Conflict, EventsRefused, LabelEvent, LabelStore, check_events, read_events
from spatialnet.web.addresses import LABELS
from spatialnet.web.answers import RequestRefused, answered, sentence
from spatialnet.web.sources import Sources, task_of

MAX_BODY = 1 << 20


class Labels:
    """Takes label events and tells what counts."""

    def __init__(self, sources: Sources, store: LabelStore) -> None:
        self._sources = sources
        self._store = store

    def routes(self) -> list[BaseRoute]:
        """The routes of this room."""
        return [
            Route(LABELS, self.post, methods=["POST"]),
            Route(LABELS, answered(self.current), methods=["GET"]),
        ]

    async def post(self, request: Request) -> Response:
        """Store events `{"events": [...]}`: all of them or, where one is refused, none.

        Answers 200 only when all are on disk. Answers 422 with `refused` (uuid to sentence) where events can never be
        stored; the client sets these aside and sends the rest again.
        """
        if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
            return sentence("Label events are sent as application/json.", 415)
        body = b""
        try:
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY:
                    return sentence("These are more than 1 MB of label events. Send them in parts.", 413)
        except ClientDisconnect:
            return Response(status_code=400)
        return await run_in_threadpool(answered(self._append), body)

    def current(self, request: Request) -> Response:
        """What counts for each chip of a task, and how many that are."""
        query = request.query_params
        if "dataset" not in query or "task" not in query:
            raise RequestRefused("Name a data set and a task: /api/labels?dataset=...&task=...")
        data = self._sources.dataset(query["dataset"])
        task = task_of(data, query["task"])
        version = self._store.version()
        answers = self._store.current(data.name, task.name)
        return JSONResponse(
            {
                "dataset": data.name, "task": task.name, "version": version,
                "counts": asdict(self._store.counts(data.name, task.name)),
                "labels": {str(chip): asdict(answer) for chip, answer in answers.items()},
            },
            headers={"cache-control": "no-store"},
        )  # fmt: skip

    def _append(self, body: bytes) -> Response:
        try:
            message = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RequestRefused("The body is not JSON. Send an object with a list of events.") from error
        try:
            events = read_events(message.get("events") if isinstance(message, dict) else None)
            self._check(events)
            result = self._store.append(events)
        except EventsRefused as error:
            return sentence(str(error), 422, refused=error.refused)
        return JSONResponse(
            {
                "stored": len(result.stored), "known": len(result.known), "ids": result.ids,
                "version": max(result.ids.values(), default=0), "conflicts": [_conflict(c) for c in result.conflicts],
            },
            headers={"cache-control": "no-store"},
        )  # fmt: skip

    def _check(self, events: Sequence[LabelEvent]) -> None:
        for name in {event.dataset for event in events}:
            named = [event for event in events if event.dataset == name]
            try:
                check_events(named, self._sources.dataset(name))
            except (DataSetNotFound, PathRefused) as error:
                raise EventsRefused({event.uuid: str(error) for event in named}) from error


def _conflict(conflict: Conflict) -> dict[str, Any]:
    return {"uuid": conflict.uuid, "chip": conflict.chip, "task": conflict.task, "other": conflict.other.to_dict()}
