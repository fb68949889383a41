"""What browsers show: the pages that ``web/`` is the source of, served by the box itself."""

from plugins.pages.plugin import PagesPlugin

__all__ = ["PagesPlugin"]
