"""scripts/conformance on small trees, most of which must not pass. Argument: the script. TAP."""

import contextlib
import pathlib
import subprocess
import sys
import tempfile

SCRIPT = sys.argv[1]
SIGN = "pro" + "ves"  # in one word it would be a citation of this file
count = failed = 0


def check(name, holds, detail=""):
    global count, failed
    count += 1
    failed += not holds
    print(f"{'ok' if holds else 'not ok'} {count} - {name}")
    for line in [] if holds else str(detail).splitlines():
        print("#   " + line)


@contextlib.contextmanager
def tree(listed, cited):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for room in ("docs", "src", "tests"):
            (root / room).mkdir()
        (root / "docs" / "conformance-ids.txt").write_text("# ids\n\n" + "".join(line + "\n" for line in listed))
        (root / "src" / "some_test.c").write_text(f"/* {SIGN} {cited} */\nTEST(some)\n{{\n}}\n" if cited else "\n")
        yield root


def run(root, *options):
    return subprocess.run([sys.executable, SCRIPT, "--root", root, *options], capture_output=True, text=True,
                          check=False)


def refused(name, listed, cited, words):
    with tree(listed, cited) as root:
        wrote = run(root)
        checked = run(root, "--check")
        check(name, wrote.returncode == 0 and checked.returncode == 1 and words in checked.stdout
              and "\nnot ok " in checked.stdout, checked.stdout + checked.stderr)


GOOD = ["API-001\tproven\tone", "API-002\tpartly\ttwo\tnot the half of it", "API-003\tlater\tthree",
        "API-004\tnot applicable\tfour\tnobody wants it"]

refused("an id that is claimed without a test", GOOD, "API-002", "# API-001: one")
refused("an id that is claimed in part without a test", GOOD, "API-001", "# API-002: two")
refused("a test of an id that does not exist", GOOD, "API-001, API-002 and API-009", "some_test.c:1 cites API-009")
refused("a span that ends beyond the list", GOOD, "API-001..009", "cites API-009")
refused("a citation that goes on in the next line", GOOD, "API-001,\n * API-002, IMPL-77", "cites IMPL-77")
refused("a state that is none", ["API-001\tclaimed\tone"], "API-001", "there is no state 'claimed'")
refused("partly, without what is missing", ["API-001\tpartly\tone"], "API-001", "needs what is missing")
refused("not applicable, without a reason", ["API-001\tnot applicable\tone"], "", "needs the reason")
refused("proven, with a note", ["API-001\tproven\tone\tbut"], "API-001", "needs no note")
refused("the same id twice", ["API-001\tproven\tone", "API-001\tlater\tone"], "API-001", "API-001 is there twice")
refused("a line that is none", ["API-001 proven one"], "", "line 3 is not an id")

with tree(GOOD, "API-001..002") as root:
    check("no file yet is a stale file", run(root, "--check").returncode == 1)
    check("but the list and the tests agree", run(root, "--list").returncode == 0)
    wrote, checked = run(root), run(root, "--check")
    text = (root / "docs" / "conformance.md").read_text()
    check("what is written passes", wrote.returncode == 0 and checked.returncode == 0, checked.stdout)
    check("it names the test", "| API-001 | one | proven | src/some_test.c: some |" in text, text)
    check("it says what is missing", "| API-002 | two | partly: not the half of it | src/some_test.c: some |" in text)
    check("and counts", "Of 4: 1 proven, 1 partly, 1 later, 1 not applicable." in text, text)
    (root / "src" / "other_test.c").write_text(f"/* {SIGN} API-001 */\nTEST(other)\n")
    checked = run(root, "--check")
    check("a stale file does not pass", checked.returncode == 1 and "not ok 4" in checked.stdout, checked.stdout)

print(f"1..{count}")
sys.exit(1 if failed else 0)
