"""Web addresses in what should be a person's name: a name goes to people who never asked for it."""

# ruff: noqa: RUF001 (letters that look like others are what this is about)

import re
import unicodedata

# Dots and slashes that browsers, mail programs or eyes take for the plain ones and that NFKC leaves.
LIKE_DOT = "\u3002\uff61\u06d4\u0701\u0702\ua4f8\ua60e\u1390\u2e33"  # not the middle dot of names
LIKE_SLASH = "\u2215\u2044\u2571\u29f8"
LIKE_COLON = "\u02d0\u02f8\u2236\ua789"
LOOKALIKES = str.maketrans(
    dict.fromkeys(LIKE_DOT, ".")
    | dict.fromkeys(LIKE_SLASH, "/")
    | dict.fromkeys("\u02d0\u02f8\u2236\ua789", ":")
)
# Ends of names that mail programs make links of, those that are abused most, and those kept for examples (RFC
# 2606). Ends that are people's names, too (Dr.No, Wei.Li), count only before a path.
ENDS = frozenset(
    """
    com net org info biz io co me tv cc ly gl gg to ai app dev xyz top shop store online site website club
    live life link click icu vip work world today space fun buzz blog news press email support services
    solutions center digital agency cloud tech host hosting domains download review reviews win bid loan
    loans cash money finance credit bet casino poker porn sex adult cam date dating pro mobi name tel
    asia eu ru su cn de uk us ca au nl fr es pt pl br ar mx cl in jp kr tw hk vn th id ph pk ir ua by kz
    tr gr il za ng ke tk ml ga cf gq pw ws st sh ac ag am fm gd la lc mn sc vc cx nu ch at be dk fi se cz
    sk hu ro bg rs hr si lt lv ee is ie lu nz edu gov mil int arpa
    example test invalid localhost local onion internal lan
    рф рус онлайн сайт 中国 中國 公司 网络 网址 商城 在线 移动 集团 भारत 한국 みんな コム
    """.split()  # noqa: SIM905 (so many quotes are harder to read)
)
TITLES = frozenset(
    "dr mr mrs ms mx st ste jr sr prof rev hon sir fr br lt col gen maj sgt capt drs ing".split()  # noqa: SIM905
)
DOTTED = re.compile(r"(?<![\w.@-])(?:[\w-]+\.)+[\w-]+(?![\w@-])")


def has_web_address(name: str) -> bool:
    """Return whether a name (200 characters at most) has a web address in it, however it is disguised."""
    plain = unicodedata.normalize("NFKC", name)
    plain = (
        "".join(sign for sign in plain if unicodedata.category(sign) != "Cf").translate(LOOKALIKES).lower()
    )
    if re.search(r"://|(?<!\w)(?:https?|ftp):|(?<!\w)www\s?\.|xn--|@[\w.-]+/", plain):
        return True
    return any(_is_address(match[0], plain[match.end() :]) for match in DOTTED.finditer(plain))


def _is_address(dotted: str, rest: str) -> bool:
    labels = dotted.split(".")
    *_, before, end = labels
    if end.isdigit():
        return len(labels) == 4 and all(label.isdigit() for label in labels)
    if len(end) < 2:
        return False
    if rest.startswith(("/", "?", "#")) or re.match(r":\d", rest):
        return True
    if len(before) == 1:  # an initial: J.Lo
        return end in {"com", "net", "org"}
    return end in ENDS and not (len(labels) == 2 and before in TITLES)
