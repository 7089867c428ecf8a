"""The rules of the house that no other tool checks."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spatialnet.settings import REPOSITORY

ROOMS = sorted(
    path for path in (REPOSITORY / "spatialnet").iterdir() if path.is_dir() and (path / "__init__.py").exists()
)
MODULES = sorted(path for path in (REPOSITORY / "spatialnet").glob("*.py") if not path.name.startswith("__"))
PAGES = sorted((REPOSITORY / "pages").glob("*.py"))


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository, also those that are not committed yet, but nothing that git ignores."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is not a clone, so git cannot say which files belong to the project")
    return [REPOSITORY / name for name in done.stdout.splitlines() if (REPOSITORY / name).is_file()]


CODE = [
    path
    for folder in ("spatialnet", "pages", "tests", "benchmarks")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
]
CODE.append(REPOSITORY / "app.py")
OURS = [path for path in CODE if not path.is_relative_to(REPOSITORY / "tests")]


def name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


# Layout


def test_there_is_something_to_check():
    assert len(PAGES) >= 5
    assert len(ROOMS) >= 9
    assert len(CODE) > 100


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_a_page_is_at_most_120_lines(path):
    assert len(path.read_text().splitlines()) <= 120


@pytest.mark.parametrize("path", OURS, ids=name)
def test_a_module_is_at_most_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


def test_every_page_is_on_the_menu_and_every_entry_is_a_page():
    menu = ast.parse((REPOSITORY / "spatialnet/ui/navigation.py").read_text())
    keys = {
        key.value
        for node in ast.walk(menu)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
    assert keys == {path.stem for path in PAGES}


def test_no_folder_called_pages_lies_beside_the_script():
    """Streamlit would then open a deep link on a fresh server without running the script."""
    assert (REPOSITORY / "spatialnet/ui/main.py").exists()
    assert not (REPOSITORY / "spatialnet/ui/pages").exists()


def test_no_file_has_a_name_that_says_nothing():
    empty = {"util", "utils", "helper", "helpers", "common", "misc", "shared", "stuff", "base"}
    assert [
        name(path) for path in CODE if path.stem in empty or empty & set(path.parts[len(REPOSITORY.parts) : -1])
    ] == []


def test_tests_mirror_the_rooms():
    for folder in (REPOSITORY / "tests").iterdir():
        if folder.is_dir() and folder.name not in ("pages", "browser", "benchmarks", "__pycache__"):
            assert (REPOSITORY / "spatialnet" / folder.name).is_dir(), folder.name
    for room in ROOMS:
        if room.name not in ("migrations", "ui"):  # tests/test_database.py; tests/pages and tests/browser
            assert (REPOSITORY / "tests" / room.name).is_dir(), room.name


# Imports


LIGHT = [
    "spatialnet.web.server",
    "spatialnet.web.lifespan",
    "spatialnet.jobs.services",
    "spatialnet.jobs.requests",
    "spatialnet.cli",
]


def test_the_web_process_never_imports_torch():
    """Also not when a page is drawn: everything that pages and routes import, in a fresh interpreter."""
    ui = [
        name(path).removesuffix(".py").replace("/", ".")
        for path in sorted((REPOSITORY / "spatialnet/ui").rglob("*.py"))
    ]
    modules = [m.removesuffix(".__init__") for m in ui if m != "spatialnet.ui.main"]
    code = (
        "import importlib, sys\n"
        "for module in sys.argv[1:]:\n"
        "    importlib.import_module(module)\n"
        "    found = {'torch', 'torchvision', 'timm', 'captum', 'onnx'} & sys.modules.keys()\n"
        "    assert not found, f'{module} imports {found}'\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, *LIGHT, *modules]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


# What code may not do


FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}


def faults(path: Path) -> list[str]:
    """Places where a file could run text as code."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{node.lineno}: imports {m}" for m in modules if m.split(".")[0] in FORBIDDEN_IMPORTS]
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        called = function.id if isinstance(function, ast.Name) else ""
        attribute = function.attr if isinstance(function, ast.Attribute) else ""
        if called in FORBIDDEN_CALLS:
            found.append(f"{node.lineno}: calls {called}")
        if attribute in ("system", "popen") and isinstance(function.value, ast.Name) and function.value.id == "os":
            found.append(f"{node.lineno}: calls os.{attribute}")
        keywords = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        if keywords.get("shell"):
            found.append(f"{node.lineno}: shell=True")
        if keywords.get("allow_pickle"):
            found.append(f"{node.lineno}: allow_pickle=True")
        if attribute == "load" and isinstance(function.value, ast.Name):
            if function.value.id == "np" and keywords.get("allow_pickle") is not False:
                found.append(f"{node.lineno}: np.load without allow_pickle=False")
            if function.value.id == "torch" and keywords.get("weights_only") is not True:
                found.append(f"{node.lineno}: torch.load without weights_only=True")
    return found


@pytest.mark.parametrize("path", OURS, ids=name)
def test_no_file_can_run_text_as_code(path):
    assert faults(path) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from joblib import load", "eval('1')", "exec(x)", "import subprocess; subprocess.run('ls', shell=True)",
        "import os; os.system('ls')", "np.load(p)", "np.load(p, allow_pickle=True)", "torch.load(p)",
        "torch.load(p, weights_only=False)",
    ],
)  # fmt: skip
def test_the_check_above_finds_what_it_looks_for(tmp_path, line):
    (tmp_path / "x.py").write_text(line)
    assert faults(tmp_path / "x.py")


def test_no_file_names_a_folder_of_one_persons_machine():
    words = re.compile(r"/home/\w|/Users/\w")
    skip = REPOSITORY / "tests/test_house.py"
    text = [
        path
        for path in tracked("*.py", "*.md", "*.toml", "*.txt", "Makefile", "*.sh", "*.js", "*.css", ".ci/*")
        if path != skip
    ]
    vendored = REPOSITORY / "spatialnet/web/vendor"
    assert [
        name(p) for p in text if not p.is_relative_to(vendored) and words.search(p.read_text(errors="replace"))
    ] == []


# Requirements


def test_every_requirement_is_pinned():
    lines = [
        line.split("#")[0].strip()
        for file in ("requirements.txt", "requirements-dev.txt")
        for line in (REPOSITORY / file).read_text().splitlines()
    ]
    wanted = [line for line in lines if line and not line.startswith("-r ")]
    assert len(wanted) > 15
    loose = [line for line in wanted if not re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[0-9][\w.]*", line)]
    # pip itself is given by the virtual environment; it only has to be young enough.
    assert [line for line in loose if not line.startswith("pip>=")] == []


def test_torch_and_torchvision_are_pinned_together():
    text = (REPOSITORY / "requirements.txt").read_text()
    assert re.search(r"^torch==", text, re.MULTILINE)
    assert re.search(r"^torchvision==", text, re.MULTILINE)


def test_what_is_imported_is_required():
    """Nothing is used by name that only comes along with something else."""
    of_module = {
        "PIL": "pillow", "sklearn": "scikit-learn", "streamlit_folium": "streamlit-folium", "rio_tiler": "rio-tiler",
        "sqlalchemy": "SQLAlchemy", "pynvml": "nvidia-ml-py", "rouge_score": "rouge-score",
    }  # fmt: skip
    required = {
        re.split(r"[=<>\[]", line.split("#")[0].strip())[0].lower()
        for line in (REPOSITORY / "requirements.txt").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    }
    missing = set()
    for path in [p for p in OURS if not p.is_relative_to(REPOSITORY / "benchmarks")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            else:
                continue
            for module in {m.split(".")[0] for m in modules} - sys.stdlib_module_names - {"spatialnet", "pages", "app"}:
                if of_module.get(module, module).lower() not in required:
                    missing.add(f"{module} in {name(path)}")
    assert missing == set()


# Documents


def documents() -> list[Path]:
    return tracked("*.md")


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    found: dict[str, int] = {}
    result = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.lower())
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        result.add(f"{slug}-{count}" if count else slug)
    return result


def dead_links(path: Path) -> list[str]:
    dead = []
    text = path.read_text()
    for target in re.findall(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there.read_text())):
            dead.append(target)
    return dead


def test_every_relative_link_in_a_document_leads_somewhere():
    found = {name(path): dead for path in documents() if (dead := dead_links(path))}
    assert found == {}


def test_the_check_of_links_finds_dead_ones(tmp_path):
    (tmp_path / "b.md").write_text("# A heading, `code` & more\n")
    (tmp_path / "a.md").write_text(
        "# Top\n[ok](b.md) [ok](b.md#a-heading-code--more) [ok](#top) [web](https://x) [no](c.md) ![no](x.png) [no](b.md#none) [no](#none)"
    )
    assert dead_links(tmp_path / "a.md") == ["c.md", "x.png", "b.md#none", "#none"]


@pytest.mark.parametrize("path", ROOMS + MODULES, ids=name)
def test_every_room_is_in_the_readme_or_the_architecture(path):
    text = "".join((REPOSITORY / file).read_text() for file in ("README.md", "ARCHITECTURE.md"))
    assert re.search(rf"\b{re.escape(path.stem)}\b", text), f"{name(path)} is described nowhere"


def test_commands_in_documents_exist():
    """Each `make` target and each `python -m spatialnet` command that a document names."""
    from spatialnet.cli.arguments import make_parser

    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    commands = set(re.findall(r"^    (\w+)", make_parser().format_help(), re.MULTILINE))
    for path in documents():
        text = path.read_text()
        assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= targets, name(path)
        assert set(re.findall(r"python -m spatialnet ([a-z]+)", text)) <= commands, name(path)
