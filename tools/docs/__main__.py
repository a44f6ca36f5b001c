"""Write what is generated in the documents: the settings, the webhook guide, the pictures."""

import argparse
import sys

from tools.docs import texts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; print what is stale and exit with 1"
    )
    parser.add_argument("--texts", action="store_true", help="do not take new pictures")
    chosen = parser.parse_args()
    if chosen.check:
        stale = texts.stale()
        for name in stale:
            print(f"{name} is stale; update it with: python -m tools.docs --texts")
        return 1 if stale else 0
    texts.write()
    if not chosen.texts:
        from tools.docs import pictures  # the browser is needed for these alone

        pictures.take()
    return 0


if __name__ == "__main__":
    sys.exit(main())
