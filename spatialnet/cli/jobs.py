"""The commands about jobs: the queue, one job, its log, and pause, resume, cancel and priority."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from spatialnet.cli.progress import follow
from spatialnet.cli.table import print_rows
from spatialnet.errors import JobRefused
from spatialnet.jobs.machine import said
from spatialnet.jobs.queue import Place, places
from spatialnet.jobs.services import services
from spatialnet.jobs.store import PRIORITIES, Job

_LEVELS = {name: level for level, name in PRIORITIES.items()}


def add_job_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `jobs`, `pause`, `resume`, `cancel` and `worker`."""
    jobs = commands.add_parser(
        "jobs", help="list the jobs, look at one, or move it in the queue",
        description="Without more: every job, with its place in the queue and what it uses. Or: show, log, priority.",
        epilog="example: python -m spatialnet jobs log JOB --search epoch",
    )  # fmt: skip
    jobs.set_defaults(command="jobs", what="list")
    what = jobs.add_subparsers(metavar="WHAT")
    show = what.add_parser("show", help="one job: how it stands, what it uses, the end of its log")
    log = what.add_parser("log", help="a job's log, or the lines of it that hold a text")
    priority = what.add_parser("priority", help="move a waiting job in the queue")
    for parser, name in ((show, "show"), (log, "log"), (priority, "priority")):
        parser.add_argument("job", help="identifier of a job, as `jobs` lists it")
        parser.set_defaults(what=name)
    log.add_argument(
        "--search", default="", metavar="TEXT", help="only lines that hold this, upper and lower case alike"
    )
    log.add_argument("--lines", type=int, default=1000, help="at most this many lines, the last ones (default: 1000)")
    priority.add_argument("level", choices=list(_LEVELS), help="jobs of a higher priority get the device first")
    for name, text in (
        ("pause", "stop a job for now: it saves its state and frees the device"),
        ("resume", "go on with a paused or stopped job"),
        ("cancel", "stop a job; it saves its state first"),
    ):
        one = commands.add_parser(name, help=text)
        one.add_argument("job", help="identifier of a job, as `jobs` lists it")
        one.set_defaults(command=name)
        if name == "resume":
            one.add_argument("--device", help="go on here: auto, cpu or cuda:<index> (default: as before)")
            one.add_argument("--no-wait", action="store_true", help="return at once; the job goes on by itself")
    worker = commands.add_parser("worker", help="do one job in this process (the app starts these by itself)")
    worker.add_argument("job", help="identifier of a waiting job, as `jobs` lists it")
    worker.set_defaults(command="worker")


def _jobs(options: argparse.Namespace) -> int:
    return {"list": _list, "show": _show, "log": _log, "priority": _priority}[options.what](options)


def _list(_options: argparse.Namespace) -> int:
    shared = services()
    shared.jobs.reconcile()
    found = places(shared.jobs.store.live())
    print_rows([
        (job.id, job.state, f"{100 * job.share:.0f} %", job.title, _text(job, found.get(job.id)))
        for job in shared.jobs.store.all()
    ])  # fmt: skip
    return 0


def _text(job: Job, place: Place | None) -> str:
    figures = said(job.figures) if job.state == "running" else ""
    return " · ".join(part for part in (job.text, place.text if place else "", figures) if part)


def _show(options: argparse.Namespace) -> int:
    shared = services()
    shared.jobs.reconcile()
    job = shared.jobs.store.get(options.job)
    place = places(shared.jobs.store.live()).get(job.id)
    print_rows([
        (name, value) for name, value in (
            ("job", job.id), ("title", job.title), ("state", job.state), ("attempt", str(job.attempt)),
            ("priority", PRIORITIES[job.priority]), ("device", job.device or str(job.spec.get("device") or "")),
            ("place", place.text if place else ""), ("done", f"{100 * job.share:.0f} %"), ("text", job.text),
            ("uses" if job.state == "running" else "used", said(job.figures)),
            ("parts", f"each step in {job.parts} times as many parts: memory ran out" if job.parts > 1 else ""),
        )
        if value
    ])  # fmt: skip
    if tail := shared.jobs.log(job.id, 20):
        print(f"\n{tail}")
    return 0


def _log(options: argparse.Namespace) -> int:
    if options.lines < 1:
        raise JobRefused(f"--lines is {options.lines}; at least one line is wanted.")
    hits, lines = services().jobs.search_log(options.job, options.search, options.lines)
    for line in lines:
        print(line)
    return 0 if hits or not options.search else 1


def _priority(options: argparse.Namespace) -> int:
    shared = services()
    job = shared.jobs.set_priority(options.job, _LEVELS[options.level])
    place = places(shared.jobs.store.live()).get(job.id)
    print(f"{job.title}: {options.level} priority{f', {place.text}' if place else ''}")
    return 0


def _pause(options: argparse.Namespace) -> int:
    shared = services()
    job = shared.jobs.pause(options.job)
    follow(shared, job)
    return 0 if shared.jobs.store.get(job.id).state == "paused" else 1


def _resume(options: argparse.Namespace) -> int:
    shared = services()
    job = shared.jobs.resume(options.job, options.device)
    return 0 if options.no_wait else follow(shared, job)


def _cancel(options: argparse.Namespace) -> int:
    shared = services()
    job = shared.jobs.store.get(options.job)
    if not job.live and job.state != "paused":
        raise JobRefused(f"Job {job.id} is {job.state} already; there is nothing to stop.")
    shared.jobs.cancel(job.id)
    follow(shared, job)  # this process must be there to kill it where it does not stop by itself
    return 0


def _worker(options: argparse.Namespace) -> int:
    from spatialnet.jobs.worker import work

    return work(services().settings, options.job)


JOB_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "jobs": _jobs, "pause": _pause, "resume": _resume, "cancel": _cancel, "worker": _worker,
}  # fmt: skip
