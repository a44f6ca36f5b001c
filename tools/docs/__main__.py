"""Write what is generated in the documents: the settings, the webhook guide, the pictures."""

import argparse
import sys

from tools.docs import texts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say what is stale, exit 1 then")
    parser.add_argument("--texts", action="store_true", help="leave the pictures as they are")
    chosen = parser.parse_args()
    if chosen.check:
        stale = texts.stale()
        for name in stale:
            print(f"{name} is stale; write it anew with: python -m tools.docs --texts")
        return 1 if stale else 0
    texts.write()
    if not chosen.texts:
        from tools.docs import pictures  # the browser is needed for these alone

        pictures.take()
    return 0


if __name__ == "__main__":
    sys.exit(main())
