"""Print figures of the source: how long it is, how finely it is cut, and what one booking runs through.

    python -m tools.house [CHECKOUT] [--engine] [--small]

Without options: the figures that can be read from the source. With --engine, the way of one booking is traced
too, from the form to the end of its delivery; the checkout's own Python must run it. With --small, the small
functions that are used exactly once are listed, each with why it may stand.
"""

import argparse
import ast
import collections
import itertools
import logging
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time

SHORT = 6  # lines of a body
PAGE = "/rick/quick-chat"  # of the demo


def modules(root: pathlib.Path) -> dict[pathlib.Path, ast.Module]:
    """Return the parsed modules of calapp/, migrations aside."""
    found = [p for p in sorted((root / "calapp").rglob("*.py")) if "migrations" not in p.parts]
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in found}


def functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def references(trees: list[ast.Module]) -> collections.Counter[str]:
    """Count how often each name is read, as a name or as an attribute."""
    count: collections.Counter[str] = collections.Counter()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                count[node.id] += 1
            elif isinstance(node, ast.Attribute):
                count[node.attr] += 1
    return count


def called(trees: list[ast.Module]) -> set[str]:
    """Return the names that are called; others are only handed to somebody who calls them."""
    calls = (node.func for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {one.id if isinstance(one, ast.Name) else getattr(one, "attr", "") for one in calls}


def imported(trees: list[ast.Module]) -> set[str]:
    """Return the names that modules take from others: by `from … import` or as an attribute of a module."""
    found: set[str] = set()
    for tree in trees:
        modules: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                modules |= {one.asname or one.name for one in node.names}
        found |= modules
        found |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
        }
    return found


def of_libraries(trees: list[ast.Module]) -> set[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the methods of classes with a base that is not ours: what they override is called there."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    ours = {one.name for one in classes}
    found: set[ast.FunctionDef | ast.AsyncFunctionDef] = set()
    for one in classes:
        bases = (base.value if isinstance(base, ast.Subscript) else base for base in one.bases)
        if any(
            (base.id if isinstance(base, ast.Name) else getattr(base, "attr", "")) not in ours
            for base in bases
        ):
            found |= {node for node in one.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return found


def takes_session(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(argument.arg == "session" for argument in node.args.args)


def source_figures(root: pathlib.Path, *, small: bool) -> None:
    trees = modules(root)
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in trees}
    all_functions = [node for tree in trees.values() for node in functions(tree)]
    all_trees = [*trees.values(), ast.parse((root / "app.py").read_text(encoding="utf-8"))]
    count = references(all_trees)
    named = [node for node in all_functions if not node.name.startswith("__") and not node.decorator_list]
    once = [node for node in named if count[node.name] == 1]
    crumbs = [node for node in once if body_lines(node) <= SHORT]
    calls, shared, libraries = called(all_trees), imported(all_trees), of_libraries(list(trees.values()))
    tests = "\n".join(path.read_text(encoding="utf-8") for path in sorted((root / "tests").rglob("*.py")))
    tested = set(re.findall(r"\w+", tests))
    reasons = {
        node: "of a library's class" if node in libraries
        else "handed over" if node.name not in calls
        else "with a session, of another module" if node.name in shared and takes_session(node)
        else "of another module" if node.name in shared
        else "named in a test" if node.name in tested
        else "alone"
        for node in crumbs
    }  # fmt: skip
    whys = collections.Counter(reasons.values())
    private = [node for node in all_functions if re.match(r"_[^_]", node.name)]
    homes: dict[str, set[pathlib.Path]] = collections.defaultdict(set)
    for path, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].add(path)
    double = sorted(name for name, paths in homes.items() if len(paths) > 1)
    lengths = [body_lines(node) for node in all_functions]
    total = sum(lines.values())
    print(f"lines {total}, modules {len(trees)} (median {statistics.median(lines.values()):.0f} lines)")
    print(
        f"functions {len(lengths)}, lines per function {total / len(lengths):.1f}, "
        f"body median {statistics.median(lengths):.0f}, longest {max(lengths)}"
    )
    print(
        f"private {100 * len(private) / len(lengths):.0f} %, "
        f"used exactly once {100 * len(once) / len(lengths):.0f} %, "
        f"of these at most {SHORT} lines {len(crumbs)} "
        f"({', '.join(f'{why} {number}' for why, number in sorted(whys.items()))})"
    )
    print(f"class names in two modules {len(double)}: {' '.join(double)}")
    for path, tree in trees.items() if small else ():
        for node in functions(tree):
            if node in reasons:
                print(f"  {path.relative_to(root)}:{node.lineno} {node.name}: {reasons[node]}")


def booking_way(root: pathlib.Path) -> None:
    """Trace one booking through the test client and its delivery through the engine's own function."""
    app = demo_app(root)
    from calapp.deliveries.engine import process_engine

    client = app.test_client()
    fields = filled_form(client)
    seen: list[tuple[str, str]] = []

    def note(frame, event, _argument):
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(str(root)) and "site-packages" not in name:
            seen.append((os.path.relpath(name, root), frame.f_code.co_name))

    sys.setprofile(note)
    response = client.post(f"{PAGE}?metadata[user_id]=123", data=fields)
    sys.setprofile(None)
    assert response.status_code == 303, f"the booking got {response.status_code}"
    with app.app_context():
        engine = process_engine()
        sys.setprofile(note)
        engine.deliver()  # ends when nothing is due; the RQ job gives it wakes to wait for
        sys.setprofile(None)
    files = [file for file, _ in seen]
    changes = sum(a != b for a, b in itertools.pairwise(files))
    print(
        f"one booking and its delivery: {len(set(seen))} functions in {len(set(files))} files, "
        f"{changes} changes of file"
    )
    print("  " + " ".join(dict.fromkeys(files)))
    sys.stdout.flush()
    os._exit(0)  # the engine's threads are not waited for


def demo_app(root: pathlib.Path):
    """Make the checkout's app with a new database that has the demo's host, event types and webhook."""
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.environ |= {
        "CALAPP_DATA_DIR": tempfile.mkdtemp(),
        "RATE_LIMITS": "off",
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "LOG_LEVEL": "warning",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    from flask_migrate import upgrade

    from app import create_app

    app = create_app()
    with app.app_context():
        upgrade()
        logging.disable(logging.CRITICAL)
        app.test_cli_runner().invoke(args=["seed-demo"])
    return app


def filled_form(client) -> dict[str, str]:
    """Open the booker as a visitor does, and return what its form sends for the first free time."""
    address = f"{PAGE}?metadata[user_id]=123&tz=UTC"
    page = client.get(address).get_data(as_text=True)
    found = re.search(r'(?:slot=|value=")(\d{4}-\d\d-\d\dT\d\d(?::|%3A)\d\d[^"&]*)', page)
    slot = found.group(1).replace("%3A", ":")
    form = client.get(f"{address}&slot={slot}").get_data(as_text=True)
    fields = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form))
    time.sleep(2.5)  # faster is taken for a machine
    return fields | {"start": slot, "name": "Ada", "email": "ada@example.com", "time_zone": "UTC"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", nargs="?", default=".")
    parser.add_argument("--engine", action="store_true", help="trace one booking and its delivery, too")
    parser.add_argument("--small", action="store_true", help="list the small functions that are used once")
    chosen = parser.parse_args()
    top = pathlib.Path(chosen.checkout).resolve()
    source_figures(top, small=chosen.small)
    if chosen.engine:
        booking_way(top)
