"""Who you are: accounts, visitors, passwords and tokens, in SQLite."""

from plugins.auth.plugin import AuthPlugin

__all__ = ["AuthPlugin"]
