"""What can be set: models, defaults and loading."""

from config.loading import SettingsError, load_settings
from config.settings import Bind, Settings

__all__ = ["Bind", "Settings", "SettingsError", "load_settings"]
