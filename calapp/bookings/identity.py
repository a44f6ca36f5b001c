"""Who is the same visitor: which email addresses lead to one mailbox."""

# The one large provider that is known to ignore dots.
DOTLESS = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}


def mailbox_of(email: str) -> str:
    """Return which mailbox an email address leads to, as far as that can be known without asking.

    Letters in either case are the same everywhere, and what follows a plus sign is nearly everywhere the
    person's own invention: both are free to vary, so neither makes another visitor. Dots make another person
    with most providers; only Google is known to ignore them.
    """
    local, _, domain = email.strip().casefold().rpartition("@")
    local = local.partition("+")[0] or local
    if domain in DOTLESS:
        local, domain = local.replace(".", ""), DOTLESS[domain]
    return f"{local}@{domain}"
