"""`make test`: every test, in two processes at once.

    python -m tests                   both parts
    python -m tests ARGUMENTS         one pytest with these arguments

The tests of SERVICES start processes of the service and servers of their own, and wait for them much of the time; most
of the rest computes. So two cores are busy where one would be. `tests/exactness` is with the rest: that makes the parts
about equally long.

Each line is printed as it comes, behind the part's name; what failed comes in one piece when its part ends. The exit
code is 0 only if both parts have passed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from typing import IO, Final

SERVICES: Final = tuple(f"tests/{room}" for room in ("operations", "registry", "shell", "system", "tap", "worker"))
PARTS: Final = {
    "services": list(SERVICES),
    "the rest": [f"--ignore={folder}" for folder in SERVICES],  # whatever is not there is here
}
FAILURES: Final = re.compile(r"=+ (FAILURES|ERRORS) =+$")


def main(arguments: list[str]) -> int:
    pytest = [sys.executable, "-m", "pytest"]
    if arguments:
        return subprocess.run([*pytest, *arguments], check=False).returncode
    begin, lock = time.monotonic(), threading.Lock()
    processes = {
        name: subprocess.Popen([*pytest, *of], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for name, of in PARTS.items()
    }
    last: dict[str, str] = {}

    def show(name: str, lines: IO[str]) -> None:
        held: list[str] = []
        for line in lines:
            last[name] = line.strip()
            if held or FAILURES.match(line):
                held.append(line)
            else:
                with lock:
                    print(f"{name} | {line}", end="", flush=True)
        with lock:
            print("".join(held), end="", flush=True)

    threads = [threading.Thread(target=show, args=(name, p.stdout)) for name, p in processes.items()]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:  # pytest has had it too, and says how far it came
        for thread in threads:
            thread.join()
    codes = {name: p.wait() for name, p in processes.items()}
    print(f"\nAfter {time.monotonic() - begin:.0f} s:")
    for name, code in codes.items():
        print(f"  {name}: {'passed' if code == 0 else f'FAILED (exit code {code})'} {last.get(name, '').strip('= ')}")
    return max(codes.values(), key=abs)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
