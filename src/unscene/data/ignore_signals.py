"""Makes the importing process ignore Ctrl-C and SIGTERM, and the processes that it forks too.

Only the fork server imports this module, before anything else. Ctrl-C and SIGTERM reach every
process of a command at once, but only the calling process decides whether and when to stop: it may
want to finish a step and save it. A signal that arrives while the server still imports torch, which
takes seconds, would end in a traceback. Signals from before this import were blocked (processes.py)
and are dropped here.
"""

import signal

from unscene.signals import STOPS

for name in STOPS:
    signal.signal(name, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
