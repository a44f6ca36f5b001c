"""The XML of CalDAV (RFC 4918, RFC 4791), read safely and only as deep as it is used.

A document type is refused, and with it every entity that a server could define; so is what is too deep or has
too many elements to be an honest response.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers.expat import ExpatError, ParserCreate

from calapp.calendars.fetch import Unreadable

DAV = "{DAV:}"
CALDAV = "{urn:ietf:params:xml:ns:caldav}"
APPLE = "{http://apple.com/ns/ical/}"
CALENDARSERVER = "{http://calendarserver.org/ns/}"

MAX_DEPTH = 50
MAX_ELEMENTS = 400_000  # 10 MB of the smallest events have less
NOT_CALDAV = "{host} answered, but not in CalDAV. Is this the address of a CalDAV server?"


@dataclass(frozen=True, slots=True)
class DavResource:
    """What a server says of one resource: its path or URL, a status of its own if it has one, properties."""

    href: str
    status: int | None
    properties: dict[str, Element]

    def text(self, name: str) -> str:
        """Return the text of a property, empty when there is none."""
        found = self.properties.get(name)
        return (found.text or "").strip() if found is not None else ""

    def href_in(self, name: str) -> list[str]:
        """Return the hrefs inside a property."""
        found = self.properties.get(name)
        hrefs = found.iter(f"{DAV}href") if found is not None else ()
        return [one.text.strip() for one in hrefs if one.text and one.text.strip()]

    def has(self, name: str, child: str) -> bool:
        """Return whether a property has such an element in it."""
        found = self.properties.get(name)
        return found is not None and next(found.iter(child), None) is not None


def parse(data: bytes) -> Element:
    """Return the root of an XML document; raise ValueError for one that is broken, hostile or too large."""
    builder, parser = TreeBuilder(), ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    depth = elements = 0

    def refuse(*_: object) -> NoReturn:
        raise ValueError("a document type")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > MAX_DEPTH or elements > MAX_ELEMENTS:
            raise ValueError("too many elements")
        builder.start(f"{{{name}" if "}" in name else name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(f"{{{name}" if "}" in name else name)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)  # noqa: FBT003 (expat takes it by place alone)
    except (ExpatError, LookupError) as error:
        raise ValueError(str(error)) from None
    return builder.close()


def resources(data: bytes, host: str) -> list[DavResource]:
    """Return the resources of a multistatus response; raise Unreadable when it is none.

    Of the properties those are kept that the server found.
    """
    try:
        root = parse(data)
    except ValueError:
        raise Unreadable("not_caldav", NOT_CALDAV.format(host=host)) from None
    if root.tag != f"{DAV}multistatus":
        raise Unreadable("not_caldav", NOT_CALDAV.format(host=host))
    return list(_responses(root))


def _responses(root: Element) -> Iterator[DavResource]:
    for response in root.iterfind(f"{DAV}response"):
        properties: dict[str, Element] = {}
        for part in response.iterfind(f"{DAV}propstat"):
            if _status(part) in {None, 200}:
                properties.update((one.tag, one) for one in part.iterfind(f"{DAV}prop/*"))
        status = _status(response)
        for href in response.iterfind(f"{DAV}href"):
            yield DavResource((href.text or "").strip(), status, properties)


def _status(element: Element) -> int | None:
    """Read a status line inside XML: HTTP/1.1 404 Not Found."""
    words = (element.findtext(f"{DAV}status") or "").split()
    return int(words[1]) if len(words) > 1 and words[1].isascii() and words[1].isdigit() else None
