"""The end of RESULTS.md, which no whole run writes: tables by commands of their own, and by hand."""

from pathlib import Path

BEGIN = "\n## Pages, measured by hand\n"


def kept(path: Path) -> str:
    """Return the end of RESULTS.md, which a whole run leaves as it is."""
    text = path.read_text() if path.exists() else ""
    return text[text.index(BEGIN) :] if BEGIN in text else ""


def put_section(path: Path, name: str, section: str) -> None:
    """Write a section at the end of the file, in the place of the one that had its name, and print it."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = path.read_text()
    if begin in text:
        head, _, rest = text.partition(begin)
        text = head.rstrip() + "\n" + rest.partition(end)[2]
    path.write_text(f"{text.rstrip()}\n\n{begin}\n\n{section}\n\n{end}\n")
    print(f"{section}\nWritten to {path}", flush=True)
