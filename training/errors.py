"""The one exception type that means: the user can mend this.

Messages say what was given, what is allowed and what to do next. The command line prints them in one line, without a
traceback, and exits 2.
"""

from __future__ import annotations


class UserError(Exception):
    """Bad input, a missing resource or an impossible request; never a bug of the suite."""
