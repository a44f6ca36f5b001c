"""The picture beside the table: deliveries a second against the backlog, and against endpoints that hang."""

import math
from collections.abc import Callable, Mapping
from statistics import median

from tools.bench.figures import Results

WIDTH, HEIGHT, LEFT, TOP, GAP = 340, 220, 60, 50, 90
COLOURS = {"SQLite": "#2563eb", "PostgreSQL": "#d97706"}
Points = Mapping[int, list[float]]


def picture(results: Results) -> str:
    """Return both panels as SVG."""
    panels = [
        panel(results, 0, "backlog", "waiting deliveries (logarithmic)", lambda at: math.log10(max(at, 1))),
        panel(results, 1, "hanging", "endpoints that hang beside 100 healthy ones", float),
    ]
    width = 2 * (LEFT + WIDTH) + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {TOP + HEIGHT + 60}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#334155">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{"".join(panels)}</svg>\n'
    )


def panel(results: Results, index: int, name: str, below: str, place: Callable[[int], float]) -> str:
    """Return one panel: a line for each database, with bars from the least to the most."""
    lines = {line: points for (picture, line), points in results.pictures.items() if picture == name}
    if not lines:
        return ""
    places = sorted({at for points in lines.values() for at in points})
    highest = nice(max(max(values) for points in lines.values() for values in points.values()))
    left = LEFT + index * (LEFT + WIDTH + GAP)
    low, high = place(places[0]), place(places[-1])

    def x(at: int) -> float:
        return left + WIDTH * ((place(at) - low) / (high - low) if high > low else 0.5)

    def y(value: float) -> float:
        return TOP + HEIGHT * (1 - value / highest)

    parts = [grid(left, highest, y), ticks(places, x), legend(left, lines, below)]
    parts += [drawn(points, COLOURS[line], x, y) for line, points in lines.items()]
    return "".join(parts)


def nice(value: float) -> float:
    """Return the next number that is good at the end of an axis."""
    unit = 10 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * unit >= value)


def grid(left: float, highest: float, y: Callable[[float], float]) -> str:
    """Return the lines across, with their numbers."""
    made = []
    for quarter in range(5):
        value = highest * quarter / 4
        down = y(value)
        made += [
            f'<line x1="{left}" x2="{left + WIDTH}" y1="{down:.1f}" y2="{down:.1f}" stroke="#e2e8f0"/>',
            f'<text x="{left - 8}" y="{down + 4:.1f}" text-anchor="end">{value:,.0f}</text>\n',
        ]
    return "".join(made)


def ticks(places: list[int], x: Callable[[int], float]) -> str:
    """Return the numbers below."""
    return "".join(
        f'<text x="{x(at):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{at:,}</text>\n' for at in places
    )


def legend(left: float, lines: Mapping[str, Points], below: str) -> str:
    """Return what the axes and the colours mean."""
    made = [
        f'<text x="{left}" y="{TOP - 30}" font-weight="600">deliveries/s of one worker</text>',
        f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 42}" text-anchor="middle">{below}</text>\n',
    ]
    for number, line in enumerate(lines):
        start = left + 110 * number
        made += [
            f'<circle cx="{start + 5}" cy="{TOP - 14}" r="4" fill="{COLOURS[line]}"/>',
            f'<text x="{start + 14}" y="{TOP - 10}">{line}</text>\n',
        ]
    return "".join(made)


def drawn(points: Points, colour: str, x: Callable[[int], float], y: Callable[[float], float]) -> str:
    """Return a line through the medians, and a bar at each."""
    middles = [(x(at), y(median(values))) for at, values in sorted(points.items())]
    path = " ".join(f"{across:.1f},{down:.1f}" for across, down in middles)
    bars = "".join(
        f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{y(min(values)):.1f}" y2="{y(max(values)):.1f}" '
        f'stroke="{colour}" stroke-opacity="0.5" stroke-width="4"/>'
        for at, values in points.items()
    )
    dots = "".join(
        f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4" fill="{colour}"/>' for across, down in middles
    )
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{bars}{dots}\n'
