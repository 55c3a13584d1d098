"""Becomes one of our services, and ends with its parent: `python -m turnlog_cli.launch PARENT_PID NAME MODULE`.

On Linux the kernel kills it when the parent dies; elsewhere a thread waits for the end of standard input, whose other
end only the parent holds. Killed, not asked: nobody is left to wait for an orderly end, PostgreSQL goes at the same
moment, and everything here is safe to kill.
"""

import ctypes
import os
import runpy
import signal
import sys
import threading

from turnlog_cli.metrics_folder import join

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Arrange the end, then run the module as if it had been started itself."""
    parent, name, module = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("launch: the parent died before the start")
    else:
        threading.Thread(target=_end_with_input, daemon=True).start()
    join(name, os.environ)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
