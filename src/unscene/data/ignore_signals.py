"""Imported first by the fork server, and never by anything else: from then on it and the processes
that it forks ignore what asks to stop.

Ctrl-C and SIGTERM reach every process of a command at once. Whether and when to stop is for the
calling process to say, which may want a step to end and be saved; and what comes while the server
still imports torch, which takes seconds, would be answered by a traceback. What came before this
was held back (processes.py), and is forgotten here.
"""

import signal

STOPS = (signal.SIGINT, signal.SIGTERM)
for name in STOPS:
    signal.signal(name, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
