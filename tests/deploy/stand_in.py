# SPDX-License-Identifier: Apache-2.0
"""Behaves towards systemd as `joulespan run` does, and does nothing else.

    python -m tests.deploy.stand_in run --config FILE

A configuration file that is not empty is a mistake.
"""

import os
import signal
import sys
from pathlib import Path

from agent.systemd import Notifier

_SIGNALS = {signal.SIGHUP, signal.SIGTERM}


def main() -> int:
    """Serve until SIGTERM; SIGHUP reloads."""
    notifier = Notifier(os.environ)
    if Path(sys.argv[sys.argv.index("--config") + 1]).read_text():
        return 2
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    notifier.ready("started")
    while True:
        caught = signal.sigtimedwait(_SIGNALS, notifier.watchdog_interval or 1)
        if caught is None:
            notifier.watchdog()
        elif caught.si_signo == signal.SIGHUP:
            notifier.reloading()
            notifier.ready("reloaded")
        else:
            notifier.stopping()
            return 0


if __name__ == "__main__":
    sys.exit(main())
