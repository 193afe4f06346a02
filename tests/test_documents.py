"""What the documents name exists: paths, links, make targets, commands with their options."""

import re
import shlex
import subprocess
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer.main import get_command

PROJECT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("docker/*.md")]
)
ROOT_FILE = re.compile(r"[A-Z]+\.md|LICENSE|Makefile|pyproject\.toml|constraints[a-z-]*\.txt")
USAGE_ERROR: Any = typer.BadParameter.__base__
"""Click's UsageError, which some releases of Typer carry inside."""
PACKAGE_INDEX = re.compile(r"https?://\S+/simple\b|--(extra-)?index|--find-", re.I)


def every_token(path: Path) -> list[Token]:
    """All tokens of a document, those inside paragraphs and tables too."""
    blocks = MarkdownIt().enable("table").parse(path.read_text())
    return blocks + [token for block in blocks for token in block.children or ()]


def codes(path: Path, *kinds: str) -> list[str]:
    """Text of code in a document: `code_inline`, `fence`."""
    return [token.content for token in every_token(path) if token.type in kinds]


def links(path: Path) -> list[str]:
    """Where a document's links and pictures lead."""
    targets = [token.attrs.get("href") or token.attrs.get("src") for token in every_token(path)]
    return [str(target) for target in targets if target]


def anchors(path: Path) -> set[str]:
    """Names of a document's headings as links have them."""
    tokens = every_token(path)
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def everywhere(find: Callable[[Path], list[str]]) -> list[tuple[str, str]]:
    """What is found in each document, with the document's name."""
    return [(str(one.relative_to(PROJECT)), found) for one in DOCUMENTS for found in find(one)]


def tracked(*patterns: str) -> list[Path]:
    """Files of the checkout that git knows or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    shown = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return [PROJECT / line for line in shown.stdout.splitlines() if (PROJECT / line).is_file()]


def named_paths(document: Path) -> list[str]:
    """Words in code that begin with one of the checkout's folders, or are a file of its root."""
    folders = {path.relative_to(PROJECT).parts[0] for path in tracked() if path.parent != PROJECT}
    words = re.findall(r"[^\s`'\"()\[\],;:=|]+", "\n".join(codes(document, "code_inline", "fence")))
    return [
        word.rstrip(".")
        for word in words
        if ("/" in word and word.split("/")[0] in folders) or ROOT_FILE.fullmatch(word)
    ]


def exists(path: str) -> bool:
    """Whether a path is there; capitals such as NAME, and `*`, stand for anything."""
    pattern = "/".join(
        "*" if re.fullmatch(r"[A-Z]{2,}", part) else part for part in path.rstrip("/").split("/")
    )
    return any(PROJECT.glob(pattern))


def python_commands(document: Path) -> list[str]:
    """Every `python -m ...` of ours in code, on one line, to its end or to a pipe."""
    text = "\n".join(codes(document, "code_inline", "fence")).replace("\\\n", " ")
    return re.findall(r"python3? -m ((?:training|builder|server|clients)\b[^\n|&#]*)", text)


def fault_of(command: str) -> str | None:
    """What is wrong with a command of ours: it is parsed whole, a bare one up to its name."""
    package, *words = shlex.split(command)
    group: Any = get_command(import_module(f"{package}.__main__").app)
    if not words:
        return None
    try:
        with group.make_context(package, list(words)) as context:
            name, chosen, arguments = group.resolve_command(context, words)
            chosen.make_context(name, arguments, parent=context, resilient_parsing=not arguments)
    except USAGE_ERROR as error:
        return error.format_message()
    return None


def test_there_are_documents_for_every_task() -> None:
    names = {str(path.relative_to(PROJECT)) for path in DOCUMENTS}
    tasks = {f"docs/{task}.md" for task in ("train", "build", "serve", "call")}
    assert names >= {"README.md", "CONTRIBUTING.md", "SECURITY.md", "docker/README.md", *tasks}


def test_every_path_that_a_document_names_exists() -> None:
    named = everywhere(named_paths)
    assert len(named) > len(DOCUMENTS)
    assert [(document, path) for document, path in named if not exists(path)] == []


def test_every_link_leads_somewhere() -> None:
    broken = []
    for document in DOCUMENTS:
        for link in links(document):
            place, _, anchor = link.partition("#")
            if "://" in link:
                continue
            target = (document.parent / place).resolve() if place else document
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append((document.name, link))
    assert broken == []


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(), re.M))
    code = everywhere(lambda document: codes(document, "code_inline", "fence"))
    named = [
        (document, target)
        for document, text in code
        for target in re.findall(r"(?:^|[\s;&])make ([a-z][a-z-]*)", text)
    ]
    assert {target for _, target in named} >= {"demo", "serve", "check", "test"}
    assert [(document, target) for document, target in named if target not in targets] == []


def test_every_command_that_a_document_names_can_be_parsed() -> None:
    commands = everywhere(python_commands)
    assert {command.split()[0] for _, command in commands} == {
        "training",
        "builder",
        "server",
        "clients",
    }
    faults = [(document, command, fault_of(command)) for document, command in commands]
    assert [one for one in faults if one[2] is not None] == []


@pytest.mark.parametrize("command", ["clients classify x --no-such", "server start", "builder x"])
def test_a_wrong_command_would_be_found(command: str) -> None:
    assert fault_of(command) is not None


def test_every_python_example_compiles_and_imports_what_exists() -> None:
    examples = [
        (document.name, token.content)
        for document in DOCUMENTS
        for token in every_token(document)
        if token.type == "fence" and token.info == "python"
    ]
    assert examples
    for name, example in examples:
        compile(example, name, "exec")
        for module, imported in re.findall(r"^from (\S+) import (.+)$", example, re.M):
            for one in imported.split(", "):
                assert hasattr(import_module(module), one), f"{name}: {module} has no {one}"


def test_no_file_names_a_package_index() -> None:
    naming = [
        str(path.relative_to(PROJECT))
        for path in tracked()
        if path != Path(__file__).resolve()
        and PACKAGE_INDEX.search(path.read_text(errors="ignore"))
    ]
    assert naming == []
