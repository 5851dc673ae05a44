"""Each stack of the registry has a page, and each page the template of the implementation draft (RFC 9623, appendix A:
API Mapping Template). proves IMPL-36. Arguments: docs/stacks, the registry. TAP."""

import pathlib
import re
import sys

HEADINGS = [
    "Connectedness", "Data Unit", "Connection Object", "Initiate", "InitiateWithSend", "Ready", "EstablishmentError",
    "ConnectionError", "Listen", "ConnectionReceived", "Clone", "Send", "Receive", "Close", "Abort", "CloseGroup",
    "AbortGroup"]

pages, registry = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).read_text()
count = failed = 0


def check(name, problems):
    global count, failed
    count += 1
    failed += bool(problems)
    print(f"{'not ok' if problems else 'ok'} {count} - {name}")
    for problem in problems:
        print("#   " + problem)


def headings(text):
    """In order: "Word: ..." at the beginning of a line, "**Word.**", and "**Word, Word.**"."""
    found = []
    for plain, bold in re.findall(r"^(?:([A-Z][A-Za-z ]*): |\*\*([A-Z][A-Za-z, ]*)\.\*\*)", text, re.MULTILINE):
        found += [plain] if plain else bold.split(", ")
    return found


def problems_of(text):
    found = headings(text)
    missing = [f"without {word}" for word in HEADINGS if word not in found]
    order = [word for word in found if word in HEADINGS]
    return missing or ([] if order == HEADINGS else ["in another order: " + ", ".join(order)])


def stacks():
    """The names of the rows, but those of examples."""
    return set(re.findall(r'\.stack = "([a-z0-9/-]+)"', registry)) - {"rfc4571/tcp", "rfc4571/tls/tcp", "mux"}


documented = {}
for page in sorted(pages.glob("*.md")):
    if page.name == "README.md":
        continue
    text = page.read_text()
    check(f"{page.name} follows the template", problems_of(text))
    for stack in re.findall(r"`([a-z0-9/-]+)`", text.splitlines()[0]):
        documented[stack] = page.name
check("there are stacks", [] if stacks() else ["none was found in the registry"])
check("each stack has a page", sorted(f"{stack} has none" for stack in stacks() - documented.keys()))
check("each page is of a stack", sorted(f"{stack} is none" for stack in documented.keys() - stacks()))
good = "\n\n".join(f"{word}: some" for word in HEADINGS)
check("a page without a heading is found", [] if problems_of(good.replace("Listen: some", "")) else ["it was not"])
check("headings in another order are found",
      [] if problems_of(good.replace("Send: some", "X").replace("Abort: some", "Send: some\n\nAbort: some")) else ["not"])
check("a complete page is good", problems_of(good))
print(f"1..{count}")
sys.exit(failed != 0)
