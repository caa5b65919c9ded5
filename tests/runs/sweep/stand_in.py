"""A program that stands in for ``python -m flatmtl_lite``: the method in its arguments decides what it does.

mean finishes; cagrad fails; mgda is in use by another process; pcgrad ends without a result; f-mean works
until SIGINT and finishes when it is called again, as from a checkpoint; f-cagrad works and hears no SIGINT.
graddrop, imtl_l and uw have a checkpoint and end as by SIGTERM, as by SIGUSR2, and killed; si ends as by
SIGTERM before its first checkpoint.
"""

import os
import signal
import sys
import time
from pathlib import Path

STAND_IN = (sys.executable, str(Path(__file__)))


def main():
    words = dict(zip(sys.argv[3:-1], sys.argv[4:], strict=True))
    folder, method = Path(words["--out"]), words["--method"]
    print(f"threads {words['--threads']}", flush=True)

    def finish():
        (folder / "result.json").write_text("{}")
        sys.exit(0)

    def stop(number, frame):
        (folder / "checkpoint").write_text(f"stopped by signal {number}")
        sys.exit(130)

    if method == "cagrad":
        print("Got a network that will not learn; expected another one.", flush=True)
        sys.exit(1)
    if method == "mgda":
        sys.exit(3)
    if method in ("graddrop", "imtl_l", "uw"):
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "epoch-00001.step-000000.0.pt").write_text("")
    if method == "uw":
        os.kill(os.getpid(), signal.SIGKILL)
    if method in ("graddrop", "imtl_l", "si"):
        sys.exit(140 if method == "imtl_l" else 143)
    if method == "pcgrad":
        sys.exit(0)
    if method == "f-mean" and not (folder / "checkpoint").exists():
        signal.signal(signal.SIGINT, stop)
        (folder / "working").write_text("")
        time.sleep(60)
        sys.exit(5)
    if method == "f-cagrad":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        (folder / "working").write_text("")
        time.sleep(60)
        sys.exit(5)
    finish()


if __name__ == "__main__":  # not when it is searched for doctests
    main()
