"""The first step of an import: which files, which format, and the answers to the format's questions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from spatialnet.atomic import full_disk_said, replacing
from spatialnet.errors import ImportRefused, SpatialNetError
from spatialnet.importing.formats import FAMILIES, IMPORTERS, recognised
from spatialnet.importing.importer import Importer, Option
from spatialnet.importing.scenes.derive import RULES_FOLDER
from spatialnet.importing.transfer.archives import is_archive
from spatialnet.jobs.importing import exported, request_restore, request_scan
from spatialnet.jobs.services import services
from spatialnet.ui.frame import show_error
from spatialnet.ui.import_scenes import scene_table
from spatialnet.ui.markup import plain

_HERE, _UPLOAD, _DOWNLOAD = "Files on this machine", "Upload a file", "Download a known data set"
_UPLOADS = ("zip", "tar", "gz", "tgz", "tif", "tiff", "csv", "geojson", "gpkg", "parquet", "h5")
_SAFE = re.compile(r"[^\w.+-]+")


def choose() -> None:
    """Draw the step; looking at the source starts with its button."""
    st.session_state.setdefault("import.way", _HERE)
    way = st.segmented_control(
        "Where from", (_HERE, _UPLOAD, _DOWNLOAD), required=True, key="import.way",
        label_visibility="collapsed", persist_state="session",
    )  # fmt: skip
    if way == _UPLOAD:
        _upload()
    elif way == _DOWNLOAD:
        _download()
    else:
        _here()


def _here() -> None:
    entries = _entries()
    if not entries:
        _teach()
        return
    left, right = st.columns([1.25, 1], gap="large")
    with left:
        names = list(entries)
        asked = st.session_state.pop("import.uploaded", None)
        if asked in entries:
            st.session_state["import.entry"] = asked
        name = st.selectbox("Folder or file", names, key="import.entry", persist_state="session")
        source = entries[name if name in entries else names[0]]
        if _is_export(str(source), _stamp(source)):
            _restore(source)
            return
        importer = _format(source)
        answers, size = _answers(importer, source) if importer else ({}, 0)
    with right:
        if importer:
            _about(importer)
        else:
            st.caption("The archive is unpacked first; its format is then recognised from what is in it.")
    with left:
        if st.button("Look at it first", type="primary", icon=":material/search:", key="import.look"):
            _look(source, importer.name if importer else "", answers, size)
        st.caption("Opens every file and says what would be imported. Nothing is written to your data sets yet.")


def _entries() -> dict[str, Path]:
    """What lies in the source folders, by what people read."""
    found = {}
    for folder in services().settings.source_folders:
        try:
            inside = sorted(folder.iterdir(), key=lambda path: path.name.casefold())
        except OSError:
            continue
        for path in inside:
            if not path.name.startswith(".") and not path.name.endswith(".part"):
                found[f"{folder.name}/{path.name}{'/' * path.is_dir()}"] = path
    return found


def _teach() -> None:
    inbox = services().settings.inbox
    st.subheader("The inbox is empty", anchor=False)
    st.write(
        "Put a folder of images, scenes with land cover, or an archive of either into this folder, or upload a file:"
    )
    st.code(str(inbox), language=None)
    st.caption(
        "Folders elsewhere can be named in `SPATIALNET_SOURCES` before the app is started. "
        "The command line takes any path: `python -m spatialnet import FOLDER`."
    )
    if st.button("Look again", icon=":material/refresh:", key="import.refresh"):
        st.rerun()


def _format(source: Path) -> Importer | None:
    reasons = {} if source.is_file() and is_archive(source) else _recognised(str(source), _stamp(source))
    unknown = source.is_file() and is_archive(source)
    names = [*(("",) if unknown else ()), *reasons, *(name for name in IMPORTERS if name not in reasons)]

    def text(name: str) -> str:
        if not name:
            return "Recognise it when it is unpacked"
        importer = IMPORTERS[name]
        return (
            f"{importer.title} · {reasons[name]}"
            if name in reasons
            else f"{importer.title} ({FAMILIES[importer.family]})"
        )

    name = st.selectbox("Format", names, format_func=text, key=f"import.format.{source}", persist_state="session")
    if not unknown and len(reasons) == 1:
        st.caption(f"Recognised: {plain(next(iter(reasons.values())))}.")
    elif not unknown:
        told = "It looks like several formats" if reasons else "It looks like none of the formats"
        st.caption(f"{told}. Choose the one that it is; its files are shown beside.")
    return IMPORTERS[name] if name else None


def _answers(importer: Importer, source: Path) -> tuple[dict[str, str], int]:
    """The answers to a format's questions, by option; and the side that chip images are brought to."""
    key, answers = f"import.option.{importer.name}.{source}", {}
    proposed = scene_table(source) if any(option.name == "scenes" for option in importer.options) else {}
    needed = [option for option in importer.options if option.required]
    for option in needed:
        answers[option.name] = _question(option, f"{key}.{option.name}", proposed.get(option.name, option.default))
    with st.expander("More choices", icon=":material/tune:"):
        for option in importer.options:
            if option not in needed:
                answers[option.name] = _question(
                    option, f"{key}.{option.name}", proposed.get(option.name, option.default)
                )
        size = 0
        if not any(option.name == "size" for option in importer.options):
            size = st.number_input(
                "Bring all chip images to this side (pixels)", 0, 2048, 0, key=f"{key}:side",
                help="0 keeps them as they are; images of different sizes need one.",
            )  # fmt: skip
    return answers, int(size)


def _question(option: Option, key: str, default: str) -> str:
    if option.choices:
        choices = list(option.choices) if option.required else ["", *option.choices]
        at = choices.index(default) if default in choices else 0
        chosen = st.selectbox(
            option.label,
            choices,
            at,
            key=key,
            help=option.help,
            format_func=lambda c: c or "As the files say",
            persist_state="session",
        )
        return str(chosen or "")
    if option.name == "rules":
        ready = sorted({*(path.stem for path in RULES_FOLDER.glob("*.toml")), *([default] if default else [])})
        named: str | None = st.selectbox(
            option.label, ready, ready.index(default) if default else None, key=key, help=option.help, accept_new_options=True,
            placeholder="What the codes mean", persist_state="session",
        )  # fmt: skip
        return named or ""
    if key not in st.session_state or st.session_state.get(f"{key}.proposed") != default:
        st.session_state[key] = default  # a new proposal takes the place of the old one
    st.session_state[f"{key}.proposed"] = default
    placeholder = "path inside the source" if option.file else ""
    return str(
        st.text_input(
            option.label, key=key, help=option.help, placeholder=placeholder, max_chars=2000, persist_state="session"
        )
        or ""
    )


def _about(importer: Importer) -> None:
    st.markdown(f"**{plain(importer.title)}**")
    st.caption(plain(importer.about))
    st.code(re.sub(r"(?<=\S) {3,}", "  ", importer.layout.strip("\n")), language=None)


def _code(path: Path) -> str:
    """A path between backticks, where Markdown takes everything but a backtick as it is."""
    return str(path).replace("`", "'")


def _upload() -> None:
    limit = st.get_option("server.maxUploadSize")
    file = st.file_uploader(
        f"One file of up to {limit} MB", _UPLOADS, key="import.upload",
        help="A zip or tar archive of images, a GeoTIFF, a table. Put larger files into the inbox folder instead.",
    )  # fmt: skip
    if file is None:
        st.caption(
            f"It is kept in the inbox, `{_code(services().settings.inbox)}`, where larger files can be put by hand."
        )
        return
    st.button(
        "Keep it in the inbox", type="primary", icon=":material/inbox:", key="import.keep", on_click=_keep, args=(file,)
    )
    if refused := st.session_state.pop("import.refused", ""):
        st.error(plain(refused), icon=":material/error:")


def _keep(file: UploadedFile) -> None:
    """Keep a file and go where it can be looked at. A callback: only there may another widget's value be set."""
    try:
        path = kept(file)
    except SpatialNetError as error:
        st.session_state["import.refused"] = str(error)
        return
    st.session_state["import.uploaded"] = f"{path.parent.name}/{path.name}"
    st.session_state["import.way"] = _HERE


def kept(file: UploadedFile) -> Path:
    """Keep an uploaded file in the inbox, whole or not at all, under a plain name that is not taken.

    Raises:
        ImportRefused: it is of no kind that can be imported.
        NotEnoughDisk: the disk is full; nothing was kept.
    """
    name = _SAFE.sub("_", Path(file.name.replace("\\", "/")).name).lstrip(".")[-120:]
    if not name or not any(name.lower().endswith(f".{suffix}") for suffix in _UPLOADS):
        raise ImportRefused(f"{file.name[:80]!r} is of no kind that can be imported. Upload {', '.join(_UPLOADS)}.")
    inbox = services().settings.inbox
    stem, dot, suffix = name.partition(".")
    path, number = inbox / name, 2
    while path.exists():
        path, number = inbox / f"{stem}-{number}{dot}{suffix}", number + 1
    with full_disk_said(name), replacing(path) as partial, partial.open("wb") as target:
        while part := file.read(1 << 20):
            target.write(part)
    return path


def _download() -> None:
    there = {name: i for name, i in IMPORTERS.items() if i.downloads}
    if not there:
        st.caption("No format names files that can be fetched.")
        return
    left, right = st.columns([1.25, 1], gap="large")
    with left:
        name = st.selectbox(
            "Data set", list(there), format_func=lambda n: there[n].title, key="import.fetch", persist_state="session"
        )
        importer = there[name]
        size = sum(remote.size for remote in importer.downloads)
        told = f", {size / 1e9:.1f} GB" if size and all(remote.size for remote in importer.downloads) else ""
        st.caption(
            f"{len(importer.downloads)} files{told} from {plain(importer.downloads[0].url.split('/')[2])} into "
            f"`{_code(services().settings.inbox / importer.name)}`. A stopped download goes on where it was."
        )
        answers, chip_size = _answers(importer, services().settings.inbox / importer.name)
        if st.button("Download and look at it", type="primary", icon=":material/download:", key="import.download"):
            _look(None, name, answers, chip_size)
    with right:
        _about(importer)


def _restore(source: Path) -> None:
    st.info(
        "This file was exported from SpatialNet. It becomes the data set that it was, with its splits.",
        icon=":material/unarchive:",
    )
    if st.button("Import it", type="primary", icon=":material/unarchive:", key="import.restore"):
        try:
            job = request_restore(services().jobs, services().settings.source(source))
        except SpatialNetError as error:
            show_error(error)
            return
        st.query_params.from_dict({"import": "1", "scan": job.id})
        st.rerun()


def _look(source: Path | None, importer: str, answers: Mapping[str, str], size: int) -> None:
    try:
        job = request_scan(services().jobs, source, importer, answers, size=size, confined=True)
    except SpatialNetError as error:
        show_error(error)
        return
    st.query_params.from_dict({"import": "1", "scan": job.id})
    st.rerun()


def _stamp(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


@st.cache_data(ttl=30, max_entries=64, show_spinner=False)
def _recognised(path: str, stamp: float) -> dict[str, str]:  # noqa: ARG001 (what makes it out of date)
    return recognised(Path(path))


@st.cache_data(ttl=30, max_entries=64, show_spinner=False)
def _is_export(path: str, stamp: float) -> bool:  # noqa: ARG001 (what makes it out of date)
    return exported(Path(path)) is not None
