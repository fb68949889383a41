"""The one file that holds everything: written in batches, locked for one box, watched over, backed up and restored."""
