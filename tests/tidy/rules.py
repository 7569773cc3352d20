"""The rules, each a function from a source text to its complaints; `test_rules.py` shows that each can fail."""

import ast
import graphlib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Final

FUNCTION_LINES_MAX: Final = 60
MODULE_LINES_MAX: Final = 400
POSITIONAL_MAX: Final = 4

IMGD_FLOORS: Final = {
    "core": 1, "engine": 2, "events": 2, "access": 2, "batch": 2, "watching": 3, "web": 3, "doctor": 3, "stat": 3,
}  # fmt: skip
IMGD_TOP: Final = {"daemon", "cli", "reload", "watch"}  # Floor 4; every other module directly in imgd/ is floor 0.
WORKER_FLOORS: Final = {"wire": 0, "kernels": 0, "formats": 1, "steps": 2, "answers": 3}  # Directly in it: 4.
PURE: Final = ("imgd/core/", "cgi_worker/wire/", "cgi_worker/kernels/")
NOT_FOR_DAEMON: Final = {"numpy", "numba", "fitsio", "PIL", "astropy"}
NOT_FOR_WORKER: Final = {"imgd", "trio", "trio_websocket", "hypercorn", "fastapi", "starlette"}
NOT_PURE: Final = {
    "anyio", "asyncio", "datetime", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select",
    "signal", "socket", "subprocess", "time", "trio", "uuid",
}  # fmt: skip
OUTERMOST: Final = {
    "imgd/daemon.py", "imgd/cli.py", "cgi_worker/process.py", "cgi_worker/template.py", "cgi_worker/cli.py",
}  # fmt: skip
VAGUE: Final = re.compile(r"(^|_)(managers?|handlers?|utils?|helpers?|contexts?)$")


@dataclass(frozen=True)
class Module:
    """One Python source: its path inside the project, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Parse the text."""
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """List all nodes of the tree: walking it costs more than parsing it, and each rule looks at all of them."""
        return list(ast.walk(self.tree))

    @property
    def is_package(self) -> bool:
        """Tell whether it is an `__init__.py`."""
        return PurePosixPath(self.path).name == "__init__.py"

    @property
    def name(self) -> str:
        """Dotted name."""
        parts = PurePosixPath(self.path).with_suffix("").parts
        return ".".join(parts[:-1] if self.is_package else parts)


Rule = Callable[[Module], Iterator[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def climbs(module: Module) -> Iterator[str]:
    """A module imports only from floors below its own or its own folder; each side has what it never imports."""
    own_floor, own_folder = _floor(module.name)
    top, *folders = PurePosixPath(module.path).parts[:-1]
    if folders and folders[0] not in IMGD_FLOORS.keys() | WORKER_FLOORS.keys():
        yield f"{module.path}: its folder has no floor"
    for line, target in _imports(module):
        root = target.split(".")[0]
        where = f"{module.path}:{line}: imports {target}"
        if top == "imgd" and root == "cgi_worker":
            if not f"{target}.".startswith("cgi_worker.wire."):
                yield f"{where}, of which the daemon knows only the wire"
        elif (top == "imgd" and root in NOT_FOR_DAEMON) or (top == "cgi_worker" and root in NOT_FOR_WORKER):
            yield f"{where}, which has no place here"
        elif root == top:
            floor, folder = _floor(target)
            if folder != own_folder and floor >= own_floor:
                yield f"{where}: a climb from floor {own_floor} to floor {floor}"


def impurities(module: Module) -> Iterator[str]:
    """Core, wire and kernels have no async, clock, logging, randomness, input or output, or globals."""
    if not module.path.startswith(PURE):
        return
    for line, target in _imports(module):
        if target.split(".")[0] in NOT_PURE:
            yield f"{module.path}:{line}: imports {target}"
    for node in module.nodes:
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield f"{module.path}:{node.lineno}: async"
            case ast.Global():
                yield f"{module.path}:{node.lineno}: global {', '.join(node.names)}"
            case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr="random"):
                yield f"{module.path}:{node.lineno}: randomness"
            case ast.Call(func=ast.Name(id="open" | "print" | "input" as name)):
                yield f"{module.path}:{node.lineno}: {name}()"
    for node in module.tree.body:
        match node:
            case ast.Assign(targets=targets, value=value):
                final = ast.unparse(targets[0]) == "__all__"
            case ast.AnnAssign(value=ast.expr() as value, annotation=annotation):
                final = "Final" in ast.unparse(annotation)
            case _:
                continue
        if not final and _is_mutable(value):
            yield f"{module.path}:{node.lineno}: a mutable global that is not Final"


def wide_excepts(module: Module) -> Iterator[str]:
    """Our own bugs are caught at a process's outermost frame only; elsewhere a wide clause must raise again."""
    if module.path in OUTERMOST:
        return
    for node in module.nodes:
        if isinstance(node, ast.ExceptHandler):
            caught = set() if node.type is None else {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
            again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if (node.type is None or caught & {"Exception", "BaseException"}) and not again:
                yield f"{module.path}:{node.lineno}: except {'Exception' if caught else 'anything'}"


def sizes(module: Module) -> Iterator[str]:
    """Functions and modules stay small; few positional parameters (compiled kernels cannot take named ones)."""
    lines = module.text.count("\n") + (not module.text.endswith("\n"))
    if lines > MODULE_LINES_MAX:
        yield f"{module.path}: {lines} lines"
    for node in module.nodes:
        if isinstance(node, Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{module.path}:{node.lineno}: {node.name} has {lines} lines"
            positional = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")]
            if len(positional) > POSITIONAL_MAX and not _is_compiled(node):
                yield f"{module.path}:{node.lineno}: {node.name} has {len(positional)} positional parameters"


def docstrings(module: Module) -> Iterator[str]:
    """A package is a docstring; every public module, class, function and method has one."""
    if not ast.get_docstring(module.tree):
        yield f"{module.path}: no docstring"
    if module.is_package:
        if len(module.tree.body) > 1:
            yield f"{module.path}: code in a package's __init__"
        return
    yield from (f"{module.path}:{line}: {name} has no docstring" for line, name in _undocumented(module.tree, ""))


def vague_names(module: Module) -> Iterator[str]:
    """Names that could mean anything are not names."""
    names = [(1, module.name.split(".")[-1])]
    names += [(node.lineno, node.name) for node in module.nodes if isinstance(node, ast.ClassDef)]
    for line, name in names:
        if VAGUE.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()):
            yield f"{module.path}:{line}: {name} is no name"


MODULE_RULES: Final[tuple[Rule, ...]] = (climbs, impurities, wide_excepts, sizes, docstrings, vague_names)


def import_cycles(modules: Collection[Module]) -> Iterator[str]:
    """No module imports, by way of others, itself: inside of functions neither, where it would only show later.

    What is imported for types alone does not count. One circle is told, though there may be more.
    """
    names = {module.name for module in modules}
    imported = {module.name: set(_of_ours(module, names)) for module in modules}
    try:
        graphlib.TopologicalSorter(imported).prepare()
    except graphlib.CycleError as error:
        yield f"each imports the next: {', '.join(reversed(error.args[1]))}"


# Written so that this file does not name what it looks for.
_PLACES: Final = re.compile(
    r"(?<![\w.}\])*-])/(?:work|root|home)/[\w.]"
    r"|(?<![\w.}\])*-])/tmp/\w/"
    r"|(?:py[p]i\.org|pythonh[o]sted\.org|deb\.deb[i]an\.org|registry\.npm[j]s|index-u[r]l|find-l[i]nks|/opt/p[y]pi)"
)


def places(path: str, text: str) -> Iterator[str]:
    """No file names a place on one machine, or a package registry's address."""
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _PLACES.search(line):
            yield f"{path}:{number}: names {found.group()}"


def constraint_faults(text: str) -> Iterator[str]:
    """Constraints are name==version, one a line, each name once; no addresses, no hashes."""
    seen = set()
    for number, line in enumerate(text.splitlines(), start=1):
        found = re.fullmatch(r"([A-Za-z0-9._-]+)==[A-Za-z0-9.+!]+", line)
        if found is None:
            yield f"constraints.txt:{number}: not name==version: {line}"
        elif (name := found.group(1).lower().replace("_", "-")) in seen:
            yield f"constraints.txt:{number}: {name} again"
        else:
            seen.add(name)


def missing_tests(text: str, tests: Collection[str]) -> Iterator[str]:
    """A page that claims a test names one that exists.

    tests  paths ("tests/core/test_pool.py") and function names ("test_one_read") of all tests there are.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        for found in re.finditer(r"tests/[\w/.-]*\w/?|\btest_\w+\b(?!\.py)", line):
            name = found.group()
            folder = name.rstrip("/") + "/"
            if name not in tests and not any(test.startswith(folder) for test in tests):
                yield f"line {number}: there is no {name}"


def _floor(dotted: str) -> tuple[int, str]:
    """Tell the floor and the folder of a module, or of a name in it."""
    top, first = (*dotted.split("."), "")[:2]
    floors = IMGD_FLOORS if top == "imgd" else WORKER_FLOORS
    if first in floors:
        return floors[first], f"{top}.{first}"
    if top == "cgi_worker":
        return 4, top
    return (4, "imgd, floor 4") if first in IMGD_TOP else (0, "imgd, floor 0")


def _imports(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=base, names=names, level=level):
                if level:
                    parts = module.name.split(".") + (["__init__"] if module.is_package else [])
                    base = ".".join([*parts[:-level], *([base] if base else [])])
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in names)


def _of_ours(module: Module, names: Collection[str]) -> Iterator[str]:
    """Find which of these modules one imports when it runs."""
    for_types = _lines_for_types(module)
    for line, target in _imports(module):
        if line not in for_types:
            yield from [name for name in (target, target.rpartition(".")[0]) if name in names][:1]


def _lines_for_types(module: Module) -> set[int]:
    found: set[int] = set()
    for node in module.nodes:
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            found.update(range(node.body[0].lineno, (node.body[-1].end_lineno or 0) + 1))
    return found


def _is_mutable(value: ast.expr) -> bool:
    match value:
        case ast.List() | ast.Dict() | ast.Set() | ast.ListComp() | ast.DictComp() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in ("list", "dict", "set", "bytearray", "deque", "defaultdict", "OrderedDict", "Counter")
    return False


def _is_compiled(node: Function) -> bool:
    return any(re.search(r"\b(njit|compiled|part)\b", ast.unparse(d)) for d in node.decorator_list)


def _undocumented(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[int, str]]:
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.lineno, prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from _undocumented(node, f"{prefix}{node.name}.")
