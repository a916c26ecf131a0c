"""The rules of the repository: budgets, layers, the map of folders, and what must never be committed."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from fulora.data.label_set import label_set, shipped

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for package in ("fulora", "pipelines") for path in (ROOT / package).rglob("*.py"))
NAMES = [path.relative_to(ROOT).as_posix() for path in SOURCES]
LOOP = re.compile(r"fulora/(\w+/)+(train|tune|pretrain)\.py|fulora/diffusion/training/controlnet\.py")
TRAINING_LOOPS = [name for name in NAMES if LOOP.fullmatch(name)]
FORMATTER_OFF = re.compile(r"# fmt: (?:skip|off)")
REPORT_PICTURES = {f"docs/images/report_{name}.png" for name in ("summary", "design", "trust", "phone_dark")}
PICTURES = {"fulora/assets/planes.png", "fulora/assets/gains.png", *REPORT_PICTURES}
"""The pictures of the repository: synthetic planes, a plot, and a report on phantoms."""


def tracked() -> list[Path]:
    """What git holds, or would hold after `git add .`, of what is there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git clone")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function of a file and the lines of its body, without its docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            yield node.name, (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


# --- budgets


def test_there_are_sources() -> None:
    assert len(SOURCES) > 60
    assert len(TRAINING_LOOPS) >= 4
    assert "fulora/config.py" in NAMES


def test_files_are_short() -> None:
    lines = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in NAMES}
    limits = {name: 120 if name.startswith("pipelines/stages/") else 300 for name in NAMES}
    assert not {name: f"{lines[name]} lines of {limit}" for name, limit in limits.items() if lines[name] > limit}


def test_functions_are_short() -> None:
    lengths = [(name, function, length) for name in NAMES for function, length in functions(ROOT / name)]
    assert not [(name, function, length) for name, function, length in lengths if length > 40]


@pytest.mark.parametrize("name", TRAINING_LOOPS)
def test_training_loops_are_short(name: str) -> None:
    loop = {
        function: length for function, length in functions(ROOT / name) if re.search(r"fit|step|evaluate", function)
    }
    assert loop, f"{name}: no fit, step or evaluate"
    assert sum(loop.values()) <= 120, loop


def test_no_file_has_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "core"}
    assert not [name for name in NAMES if vague & {*Path(name).with_suffix("").parts}]


def test_init_files_hold_a_docstring_only() -> None:
    for name in NAMES:
        if name.endswith("__init__.py") and name != "fulora/__init__.py":  # the public functions
            body = ast.parse((ROOT / name).read_text(encoding="utf-8")).body
            assert body, f"{name} has no docstring"
            assert isinstance(body[0], ast.Expr), f"{name} has no docstring"
            assert isinstance(body[0].value, ast.Constant)
            assert len(body) == 1, f"{name}: {[ast.unparse(node) for node in body[1:]]}"


def test_every_folder_of_sources_is_a_package() -> None:
    assert not [name for name in NAMES if not (ROOT / name).with_name("__init__.py").is_file()]


# --- layers


def test_import_contracts_are_kept() -> None:
    """Every layer imports from below only; a module that no layer names is an error."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Contracts: [6-9] kept, 0 broken", done.stdout)


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """Modules that import one another, directly or through others, as sets of names."""
    ready = dict(imports)
    while free := {name for name, needed in ready.items() if not needed & ready.keys()}:
        ready = {name: needed for name, needed in ready.items() if name not in free}
    reach = {name: needed & ready.keys() for name, needed in ready.items()}
    for _ in reach:
        reach = {name: seen.union(*(reach[other] for other in seen)) for name, seen in reach.items()}
    return [set(group) for group in {frozenset({o for o in reach[n] if n in reach[o]}) for n in reach if n in reach[n]}]


def test_no_modules_import_one_another_in_a_circle() -> None:
    """Imports inside functions and for type checking count."""
    graph = grimp.build_graph("fulora", "pipelines", cache_dir=None)
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"b"}}) == [{"b", "c"}]
    assert circles({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}) == []


# --- configs and studies


def test_a_config_or_row_is_changed_with_validation_only() -> None:
    """`Config.changed` validates what pydantic's own copy does not."""
    copying = [name for name in NAMES if "model_copy(" in (ROOT / name).read_text(encoding="utf-8")]
    assert not copying, "use Config.changed"


def lines_reading_plan(text: str) -> list[int]:
    """The lines that read an attribute `plan`."""
    nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute))
    return [node.lineno for node in nodes if node.attr == "plan"]


def test_a_study_does_not_ask_whether_it_is_planned() -> None:
    """A plan and a run then give the same artifacts, so that `fulora status` says what `fulora run` will do."""
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES if name != "fulora/workspace.py"}
    reading = {name: lines_reading_plan(text) for name, text in texts.items() if ".plan" in text}
    assert not {name: lines for name, lines in reading.items() if lines}


def test_hardly_any_code_is_kept_from_the_formatter() -> None:
    """A budget of lines is not kept by compression."""
    kept = [path for path in tracked() if path.suffix == ".py" and FORMATTER_OFF.search(path.read_text("utf-8"))]
    assert len(kept) <= 10, kept


# --- names


def annotations(path: Path) -> list[tuple[int, int, int]]:
    """Line, first and last column of every string in the brackets of a jaxtyping type: dimensions, no code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    shaped = {
        name.asname or name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "jaxtyping"
        for name in node.names
    }
    return [
        (part.lineno, part.col_offset + 1, part.end_col_offset or 0)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in shaped
        for part in ast.walk(node.slice)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]


def undefined(*paths: Path) -> list[str]:
    """Names that are used and nowhere defined, by ruff; the dimensions of jaxtyping's types are none.

    mypy does not say them: its `name-defined` is off, because it takes dimensions for names.
    """
    ruff = Path(sys.executable).with_name("ruff")
    command = [str(ruff), "check", "--isolated", "--no-cache", "--select", "F821", "--output-format", "json"]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    found = []
    for one in json.loads(done.stdout):
        path, row, column = Path(one["filename"]), one["location"]["row"], one["location"]["column"]
        if not any(row == line and first <= column <= last for line, first, last in annotations(path)):
            found.append(f"{path.name}, line {row}: {one['message']}")
    return found


def test_every_name_is_defined() -> None:
    assert not undefined(ROOT / "fulora", ROOT / "pipelines")


def test_the_search_for_undefined_names_knows_dimensions_from_names(tmp_path: Path) -> None:
    made = tmp_path / "made.py"
    made.write_text(
        "import numpy as np\n"
        "from jaxtyping import Float\n"
        "def one(x: Float[np.ndarray, ' n'], y: Float[np.ndarray, 'n']) -> 'Gone':\n"
        "    return lost(x, n)\n"
    )
    told = [line.partition(", ")[2] for line in undefined(made)]
    assert told == [f"line {n}: Undefined name `{name}`" for n, name in ((3, "Gone"), (4, "lost"), (4, "n"))]


PUBLISHED = re.compile(
    r"fulora/intake/(sources/(fetal_planes|african_planes|lora_planes|fu_lora_lists|hc18|psfhs|phantoms)|phantoms/\w+)\.py"
)
"""Published sources and phantoms, which know what they show."""
CLASS_NAMES = {one for name in shipped() for one in label_set(name).names}
NEGATIVE = {one for name in shipped() if (one := label_set(name).negative) is not None}
LICENCES = "fulora/export/card.py"
"""Where "other" is the name of a licence."""


def classes_named(text: str) -> list[str]:
    """What a module's text says of the classes of the shipped label sets.

    The name of a negative class is a word of every sentence: it counts where it is a string of its own, or in quotes.
    """
    words = "|".join(sorted(map(re.escape, CLASS_NAMES - NEGATIVE)))
    named = re.findall(rf"(?i)(?<![\w-])(?:{words})(?![\w-])", text)
    negative = "|".join(sorted(map(re.escape, NEGATIVE)))
    return named + re.findall(rf"[\"'](?:{negative})[\"']", text)


def test_the_search_for_classes_finds_them() -> None:
    assert {"brain", "trans-thalamic", "cervix", "intrapartum"} <= CLASS_NAMES
    assert sorted(NEGATIVE) == ["other"]
    assert classes_named("a Brain, 'other', trans-thalamic") == ["Brain", "trans-thalamic", "'other'"]
    assert classes_named("the other, brain_planes, brainy") == []


def test_no_class_is_named_outside_label_sets_and_published_sources() -> None:
    unpublished = [name for name in NAMES if not PUBLISHED.fullmatch(name)]
    named = {name: set(classes_named((ROOT / name).read_text(encoding="utf-8"))) for name in unpublished}
    named[LICENCES] -= {'"other"'}
    assert not {name: classes for name, classes in named.items() if classes}, "take them from a label set"


# --- the map of folders

TOP = {"configs", "fulora", "pipelines", "tests", "notebooks", "benchmarks", "docs"}
DEMANDED = ("README.md", "configs/README.md", "fulora/README.md", "pipelines/README.md")


@pytest.mark.parametrize("name", DEMANDED)
def test_a_folder_explains_itself(name: str) -> None:
    assert (ROOT / name).is_file(), f"{name} is not there"
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) > 5, f"{name} says nothing"


def folders() -> set[str]:
    """Top-level folders with files in them, dotfiles aside."""
    return {path.relative_to(ROOT).parts[0] for path in tracked() if len(path.relative_to(ROOT).parts) > 1} - {
        path.name for path in ROOT.glob(".*")
    }


def test_the_top_folder_holds_nothing_else() -> None:
    assert folders() <= TOP


def test_the_readme_maps_exactly_the_folders_there_are() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^#+ Map of folders\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, "README.md has no section 'Map of folders'"
    block = re.search(r"^```\w*\n(.*?)^```", found[1], re.MULTILINE | re.DOTALL)
    assert block, "the section 'Map of folders' has no fenced block"
    mapped = re.findall(r"^([\w-]+)/\s+\S", block[1], re.MULTILINE)
    assert len(mapped) == len(set(mapped))
    assert set(mapped) == folders()


@pytest.mark.parametrize("name", DEMANDED)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / name).read_text(encoding="utf-8"))
    here = [link for link in links if "://" not in link]
    assert not [link for link in here if not ((ROOT / name).parent / link).exists()]


# --- what must never be committed

MACHINE_PATH = re.compile(r"(?<![\w.:/~-])/(?:work|home|root|tmp|Users|mnt)/\w")
REGISTRY = re.compile(r"(?i)index-url|find-links|pypi\.org|pythonhosted|files\.pythonhosted|artifactory|/simple\b")
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".ipynb", ".json", ".jinja", ".css", ".cfg", "", ".jsonl"}


def texts() -> Iterator[tuple[str, str]]:
    """Tracked text files other than tests, by name."""
    for path in tracked():
        if path.suffix in TEXT and not name_of(path).startswith("tests/"):
            yield name_of(path), path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        (
            MACHINE_PATH,
            ["x = '/work/main'", "(/home/me/x)", "`/tmp/a`"],
            ["../work/x", "fulora run --work work/a", "https://a.b/home/c"],
        ),
        (REGISTRY, ["--index-url https://x", "https://pypi.org/simple"], ["a simple thing", "an index"]),
    ],
    ids=["machine path", "registry"],
)
def test_the_rules_find_what_they_should(rule: re.Pattern[str], yes: list[str], no: list[str]) -> None:
    assert all(rule.search(text) for text in yes)
    assert not any(rule.search(text) for text in no)


@pytest.mark.parametrize("rule", [MACHINE_PATH, REGISTRY], ids=["machine path", "registry"])
def test_no_text_names_a_machine(rule: re.Pattern[str]) -> None:
    found = [f"{name}: {match[0]}" for name, text in texts() if (match := rule.search(text))]
    assert not found


def test_there_is_no_patient_image() -> None:
    endings = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".mha", ".mhd", ".nii", ".gz"}
    pictures = {name_of(path) for path in tracked() if path.suffix.lower() in endings}
    assert pictures <= PICTURES


def test_notebooks_hold_no_output() -> None:
    """An output can hold a picture of a patient, and a path."""
    for name, text in texts():
        if name.endswith(".ipynb"):
            assert '"output_type"' not in text, f"{name} was saved with its outputs"
            assert "image/png" not in text


def test_no_file_is_large() -> None:
    large = {name_of(path): path.stat().st_size for path in tracked() if path.stat().st_size > 20 * 2**20}
    assert not large


def test_pins_name_no_host() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line.strip() and not line.startswith("#")]
    assert pins
    assert all(re.fullmatch(r"[\w.\[\]-]+==[\w.+!]+(\s*;.*)?", line.strip()) for line in pins)
    assert not (ROOT / "uv.lock").exists()


# --- tests


def test_test_files_have_names_of_their_own() -> None:
    """Without packages under tests/, pytest imports a test file by its bare name."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert not {name for name in names if names.count(name) > 1}


def test_markers_are_carried_by_tests_and_known_to_the_makefile() -> None:
    """pytest refuses a marker that is not declared; one that no test carries would select nothing."""
    declared = re.findall(r'^    "(\w+): ', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert set(declared) <= set(re.findall(r"pytest\.mark\.(\w+)", tests))
    selections = re.findall(r"SELECTED = (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert {word for line in selections for word in line.split()} - {"not", "and"} == set(declared)
